//! The names of AWS services that assume roles.

use std::sync::LazyLock;

/// What comes before `.amazonaws.com`, a name a line. AWS has no complete list: a name that is not
/// here is a warning, unless it is surely one that is, misspelt.
static KNOWN: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("services.txt").lines().collect());

/// What people call services that assume roles by another name, which is never a principal; and what
/// they most often misspell.
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

/// With fewer letters, a misspelt name cannot be told from one that is new.
const LONG: usize = 7;

const SUFFIX: &str = ".amazonaws.com";

/// What the name before the domain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// That of a service that we know.
    Known,
    /// Perhaps that of a service that is not listed here, perhaps this one misspelt.
    New(Option<&'static str>),
    /// This one, misspelt or by another name.
    Wrong(&'static str),
}

/// Looks the name before the domain up.
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

/// The actions that a service calls beside `sts:AssumeRole`, by its full name.
pub(super) fn further_actions(text: &str) -> &'static [&'static str] {
    match split(text) {
        Some(("pods.eks", _)) => &["sts:TagSession"],
        Some(("rolesanywhere", _)) => &["sts:TagSession", "sts:SetSourceIdentity"],
        _ => &[],
    }
}

/// The principal of a service, from the name before the domain.
pub(super) fn principal(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// The name before the domain, without the region that some services have there; and whether the
/// domain is the legacy one of China.
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

/// Whether the name before the domain is one that we know.
pub(super) fn is_known(name: &str) -> bool {
    KNOWN.binary_search(&name).is_ok()
}

fn alias(name: &str) -> Option<&'static str> {
    ALIASES
        .iter()
        .find(|(alias, _)| *alias == name)
        .map(|(_, service)| *service)
}

/// The known name that is nearly this one.
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

/// Whether the name is surely this service's, misspelt: a new service, or a new version of one, could
/// not be called so.
fn is_slip(name: &str, service: &str) -> bool {
    let digits = |text: &str| text.replace(|c: char| !c.is_ascii_digit(), "");
    name.len() >= LONG
        && strsim::osa_distance(name, service) == 1
        && !name.starts_with(service)
        && digits(name) == digits(service)
}

/// How many letters one of the two has more often than the other: a slip changes two at most. It
/// spares most names the dear comparison.
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

/// What was probably meant by a text that is not of the form of a service's name.
pub(super) fn meant(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let text = text.strip_prefix("https://").unwrap_or(&text);
    let text = text
        .strip_prefix("http://")
        .unwrap_or(text)
        .trim_end_matches('/');
    let name = match (split(text), text.split_once(".am")) {
        // Without a split, the domain is missing or misspelt.
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

/// Such as `eu-central-1`, `us-gov-west-1` or `eusc-de-east-1`.
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
    fn what_was_meant_is_found() {
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
        // Names are looked up by halving.
        assert!(KNOWN.is_sorted_by(|one, next| one < next));
    }
}
