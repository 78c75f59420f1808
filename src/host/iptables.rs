//! The iptables programs of a host: which variant a program is, and which programs a variant has.

use std::path::Path;

use crate::policy::Family;
use crate::ruleset::model::Variant;

/// The variants, in the order in which they are searched for on a host without a program `iptables`.
pub const VARIANTS: [Variant; 2] = [Variant::Nft, Variant::Legacy];

/// The name of the family's iptables program. It may be any variant.
#[must_use]
pub fn plain_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "iptables",
        Family::V6 => "ip6tables",
    }
}

/// The name of the family's iptables program of this variant. Distributions with only one variant may
/// not have it.
#[must_use]
pub fn name(family: Family, variant: Variant) -> String {
    format!("{}-{variant}", plain_name(family))
}

/// The programs of the variant: those with its name, else those with the plain name, if they are this
/// variant.
///
/// # Errors
/// The name of the program that is missing.
pub fn choose<P>(
    family: Family,
    variant: Variant,
    named: Option<P>,
    plain: Option<(P, Variant)>,
) -> Result<P, String> {
    match (named, plain) {
        (Some(programs), _) => Ok(programs),
        (None, Some((programs, found))) if found == variant => Ok(programs),
        (None, Some(_)) => Err(name(family, variant)),
        (None, None) => Err(plain_name(family).to_owned()),
    }
}

/// The variant of a program, by the file that its links lead to; `None` if the name of the file does
/// not show it.
#[must_use]
pub fn variant_of_file(file: &Path) -> Option<Variant> {
    match file.file_name()?.to_str()? {
        "xtables-nft-multi" => Some(Variant::Nft),
        "xtables-legacy-multi" | "xtables-multi" => Some(Variant::Legacy),
        _ => None,
    }
}

/// The variant of a program, by its exit code for `--version` (none if a signal killed it) and its
/// output: `iptables v1.8.9 (nf_tables)`, `iptables v1.8.9 (legacy)`, before 1.8 `iptables v1.6.1`.
///
/// # Errors
/// Why the variant is unknown.
pub fn variant_of_version(code: Option<i32>, stdout: &str) -> Result<Variant, String> {
    match code {
        Some(0) if !stdout.contains("tables v1.") => {
            Err("the output of --version is not that of iptables".to_owned())
        }
        Some(0) if stdout.contains("(nf_tables)") => Ok(Variant::Nft),
        Some(0) => Ok(Variant::Legacy),
        Some(code) => Err(format!("--version failed with exit code {code}")),
        None => Err("a signal killed --version".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_or_the_version_shows_the_variant() {
        let of_file = |file: &str| variant_of_file(Path::new(file));
        assert_eq!(of_file("/usr/sbin/xtables-nft-multi"), Some(Variant::Nft));
        assert_eq!(of_file("/sbin/xtables-multi"), Some(Variant::Legacy));
        assert_eq!(of_file("/usr/sbin/iptables"), None);
        let of_version = |stdout: &str| variant_of_version(Some(0), stdout);
        assert_eq!(
            of_version("iptables v1.8.9 (nf_tables)\n"),
            Ok(Variant::Nft)
        );
        assert_eq!(
            of_version("iptables v1.8.9 (legacy)\n"),
            Ok(Variant::Legacy)
        );
        assert_eq!(of_version("ip6tables v1.6.1\n"), Ok(Variant::Legacy));
        assert!(of_version("hello").is_err());
        assert!(variant_of_version(Some(1), "iptables v1.8.9 (legacy)").is_err());
        assert!(variant_of_version(None, "").is_err());
    }

    #[test]
    fn the_plain_programs_are_used_only_if_they_are_the_variant() {
        let choose = |named, plain| choose(Family::V6, Variant::Nft, named, plain);
        assert_eq!(choose(Some(1), Some((2, Variant::Nft))), Ok(1));
        assert_eq!(choose(None, Some((2, Variant::Nft))), Ok(2));
        let missing = |name: &str| Err(name.to_owned());
        assert_eq!(
            choose(None, Some((2, Variant::Legacy))),
            missing("ip6tables-nft")
        );
        assert_eq!(choose(None, None), missing("ip6tables"));
    }
}
