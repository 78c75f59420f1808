//! The names of AWS services that assume roles.

use std::sync::LazyLock;

/// The names before `.amazonaws.com`, one per line. AWS publishes no complete list: a name that is missing
/// here gives a warning, or an error where it is clearly a misspelling of a listed one.
static KNOWN: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("services.txt").lines().collect());

/// Common abbreviations and misspellings of service names. None of them is a valid principal.
const ALIASES: [(&str, &str); 10] = [
    ("cfn", "cloudformation"),
    ("ddb", "dynamodb"),
    ("efs", "elasticfilesystem"),
    ("elb", "elasticloadbalancing"),
    ("emr", "elasticmapreduce"),
    ("eventbridge", "events"),
    ("lamba", "lambda"),
    ("lamda", "lambda"),
    ("sfn", "states"),
    ("stepfunctions", "states"),
];

/// The shortest name in which one slip counts as a misspelling. A shorter name may be that of a new service.
const LONG: usize = 7;

const SUFFIX: &str = ".amazonaws.com";

/// The result of looking up the name before the domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// The list contains the name.
    Known,
    /// The name is unknown; it may be a misspelling of this one, or the name of a new service.
    New(Option<&'static str>),
    /// The name is an alias or a misspelling of this one.
    Wrong(&'static str),
}

/// Looks up the name before the domain.
pub(super) fn look_up(name: &str) -> Name {
    if is_known(name) {
        return Name::Known;
    }
    match alias(name) {
        Some(service) => Name::Wrong(service),
        None => match near(name) {
            Some(service) if is_slip(name, service) => Name::Wrong(service),
            perhaps => Name::New(perhaps),
        },
    }
}

/// The actions that a service calls in addition to `sts:AssumeRole`, by its full name.
pub(super) fn further_actions(text: &str) -> &'static [&'static str] {
    match split(text) {
        Some(("pods.eks", _)) => &["sts:TagSession"],
        Some(("rolesanywhere", _)) => &["sts:TagSession", "sts:SetSourceIdentity"],
        _ => &[],
    }
}

/// The full name of a service, from the name before the domain.
pub(super) fn principal(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// Splits off the domain and the region that some services have before it. Returns the name, and whether the
/// domain is China's legacy one.
pub(super) fn split(text: &str) -> Option<(&str, bool)> {
    let (name, china) = match text.strip_suffix(".cn") {
        Some(rest) => (rest.strip_suffix(SUFFIX)?, true),
        None => (text.strip_suffix(SUFFIX)?, false),
    };
    let fits = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    if name.len() > 100 || !name.split('.').all(fits) {
        return None;
    }
    match name.rsplit_once('.') {
        Some((service, region)) if is_region(region) => Some((service, china)),
        _ => Some((name, china)),
    }
}

/// Whether the list contains the name before the domain.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.binary_search(&name).is_ok()
}

fn alias(name: &str) -> Option<&'static str> {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map(|(_, service)| *service)
}

/// Finds the listed name that is most like this one.
fn near(name: &str) -> Option<&'static str> {
    let slips = match name.len() {
        3..=6 => 1,
        7..=40 => 2,
        _ => return None,
    };
    KNOWN
        .iter()
        .filter(|known| known.len().abs_diff(name.len()) <= slips)
        .filter(|known| letters_apart(known, name) <= 2 * slips)
        .map(|known| (strsim::osa_distance(known, name), *known))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// Whether the name is clearly a misspelling of this service's: no new service or version would be named so.
fn is_slip(name: &str, service: &str) -> bool {
    let digits = |text: &str| text.replace(|c: char| !c.is_ascii_digit(), "");
    name.len() >= LONG
        && strsim::osa_distance(name, service) == 1
        && !name.starts_with(service)
        && digits(name) == digits(service)
}

/// Counts the letters that one of the two has more often than the other. A slip changes at most two, so this
/// cheap count rules out most names before the costly comparison.
fn letters_apart(one: &str, other: &str) -> usize {
    let mut counts = [0_i32; 256];
    one.bytes().for_each(|byte| counts[usize::from(byte)] += 1);
    other
        .bytes()
        .for_each(|byte| counts[usize::from(byte)] -= 1);
    counts
        .iter()
        .map(|count| count.unsigned_abs() as usize)
        .sum()
}

/// Finds the service that was probably meant by a malformed name.
pub(super) fn meant(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix("https://").unwrap_or(&text);
    let text = text
        .strip_prefix("http://")
        .unwrap_or(text)
        .trim_end_matches('/');
    let name = match (split(text), text.split_once(".am")) {
        // Where the name cannot be split, the domain is missing or misspelt.
        (Some((name, _)), _) | (None, Some((name, _))) => name,
        (None, None) => text.strip_suffix(".aws").unwrap_or(text),
    };
    let service = match look_up(name) {
        Name::Known => name,
        Name::New(near) => near?,
        Name::Wrong(service) => service,
    };
    Some(principal(service))
}

/// Whether the label is a region, such as `eu-central-1`, `us-gov-west-1` or `eusc-de-east-1`.
fn is_region(label: &str) -> bool {
    let parts: Vec<&str> = label.split('-').collect();
    match parts[..] {
        [ref area @ .., number] => {
            (2..=3).contains(&area.len())
                && (area[0].len() == 2 || area[0] == "eusc")
                && area
                    .iter()
                    .all(|part| part.bytes().all(|byte| byte.is_ascii_lowercase()))
                && number.len() == 1
                && number.bytes().all(|byte| byte.is_ascii_digit())
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_from_domain_and_region() {
        for (text, expected) in [
            ("ec2.amazonaws.com", Some(("ec2", false))),
            ("ec2.amazonaws.com.cn", Some(("ec2", true))),
            ("states.eu-central-1.amazonaws.com", Some(("states", false))),
            (
                "states.eusc-de-east-1.amazonaws.com",
                Some(("states", false)),
            ),
            ("logs.us-gov-west-1.amazonaws.com", Some(("logs", false))),
            (
                "codedeploy.cn-north-1.amazonaws.com.cn",
                Some(("codedeploy", true)),
            ),
            ("pods.eks.amazonaws.com", Some(("pods.eks", false))),
            ("ec2", None),
            ("EC2.amazonaws.com", None),
            (".amazonaws.com", None),
            ("ec2..amazonaws.com", None),
            ("-ec2.amazonaws.com", None),
            ("ec2.amazonaws.org", None),
            ("", None),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }

    #[test]
    fn the_service_that_was_meant_is_found() {
        for (text, expected) in [
            ("ec2", Some("ec2.amazonaws.com")),
            ("EC2.amazonaws.com", Some("ec2.amazonaws.com")),
            (" ec2.amazonaws.com", Some("ec2.amazonaws.com")),
            ("https://ec2.amazonaws.com/", Some("ec2.amazonaws.com")),
            ("ec2.amazon.com", Some("ec2.amazonaws.com")),
            ("lamda.amazonaws.com", Some("lambda.amazonaws.com")),
            ("lambda.aws", Some("lambda.amazonaws.com")),
            ("lambda.amazonws.com", Some("lambda.amazonaws.com")),
            ("emr", Some("elasticmapreduce.amazonaws.com")),
            ("example.org", None),
            ("", None),
        ] {
            assert_eq!(meant(text).as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_list_is_sound() {
        for &name in KNOWN.iter() {
            assert_eq!(
                split(&format!("{name}{SUFFIX}")),
                Some((name, false)),
                "{name}"
            );
        }
        for (alias, service) in ALIASES {
            assert!(!is_known(alias) && is_known(service), "{alias}");
        }
        // `is_known` uses a binary search.
        assert!(KNOWN.is_sorted_by(|one, next| one < next));
    }
}
