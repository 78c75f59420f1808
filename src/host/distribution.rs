//! The distribution, and how it installs a package.

/// A package that may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Package {
    /// The iptables programs.
    Iptables,
}

/// The command that installs the package, for the distribution that the text of `os-release(5)`
/// describes.
#[must_use]
pub fn install_command(os_release: &str, package: Package) -> &'static str {
    let ids: Vec<&str> = os_release
        .lines()
        .filter_map(|line| {
            line.strip_prefix("ID=")
                .or_else(|| line.strip_prefix("ID_LIKE="))
        })
        .flat_map(|value| value.trim_matches(['"', '\'']).split(' '))
        .collect();
    let is = |wanted: &[&str]| wanted.iter().any(|id| ids.contains(id));
    match package {
        Package::Iptables if is(&["debian", "ubuntu"]) => "`apt-get install iptables`",
        Package::Iptables if is(&["amzn", "fedora", "rhel", "centos"]) => {
            "`dnf install iptables-nft` (older releases: `yum install iptables`)"
        }
        Package::Iptables if is(&["suse", "opensuse", "sles"]) => "`zypper install iptables`",
        Package::Iptables if is(&["alpine"]) => "`apk add iptables`",
        Package::Iptables if is(&["arch"]) => "`pacman -S iptables-nft`",
        Package::Iptables => "the package iptables of this distribution",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_that_of_the_distribution() {
        let command = |text| install_command(text, Package::Iptables);
        assert_eq!(command("NAME=x\nID=debian\n"), "`apt-get install iptables`");
        assert_eq!(
            command("ID=\"ol\"\nID_LIKE=\"fedora rhel\"\n"),
            "`dnf install iptables-nft` (older releases: `yum install iptables`)"
        );
        assert!(command("").starts_with("the package"));
    }
}
