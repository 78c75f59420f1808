//! The inputs that the targets start from: the corpora of the tests, and the examples of the
//! documentation.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use ip_lockdown::policy::Family;
use ip_lockdown::ruleset::model::{Ruleset, Variant};
use ip_lockdown::ruleset::nftables::encode;
use ip_lockdown::ruleset::plan::{self, Transaction};
use ip_lockdown::ruleset::{Layers, LayersByFamily, Lockdown, Native, Observation};

use crate::judged::metadata;

/// The project's folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

/// Every capture of iptables of any version, and the transactions that are sent to it; each rule of
/// them alone in a table, as short inputs are tried faster.
pub(crate) fn iptables_save() -> Vec<Vec<u8>> {
    let mut seeds = below("tests/pure/corpus");
    seeds.extend(below("tests/pure/golden"));
    let texts: Vec<String> = seeds.iter().map(|seed| crate::text(seed)).collect();
    let rules: BTreeSet<&str> = texts.iter().flat_map(|text| text.lines()).collect();
    let alone = rules.into_iter().filter_map(|rule| {
        let (_, rest) = rule.split_once("-A ")?;
        let chain = rest.split(' ').next()?;
        let table = format!("*filter\n:{chain} ACCEPT [0:0]\n:A - [0:0]\n{rule}\nCOMMIT\n");
        Some(table.into_bytes())
    });
    let alone: Vec<Vec<u8>> = alone.collect();
    seeds.extend(alone);
    seeds
}

/// The captured dumps: each as a whole, and each of its messages alone; our own table, as it is
/// sent to the kernel.
pub(crate) fn netlink() -> Vec<Vec<u8>> {
    let files = below("tests/pure/nat_corpus").into_iter();
    // The folder has rulesets as text, too.
    let mut dumps: Vec<Vec<u8>> = files.filter(|bytes| bytes.contains(&0)).collect();
    assert!(!dumps.is_empty());
    dumps.push(own_table());
    let single: Vec<Vec<u8>> = dumps.iter().flat_map(|dump| split(dump)).collect();
    dumps.extend(single);
    dumps
}

fn own_table() -> Vec<u8> {
    let families = Family::ALL.map(|family| (family, Ok(Ruleset::empty(family))));
    let nothing = Observation {
        variant: Some(Variant::Nft),
        families: families.into(),
        unusable: Vec::new(),
        other: Vec::new(),
        nf_tables: Ok(true),
        nftables: Ok(None),
        native: Ok(Native::default()),
    };
    let lockdown = Lockdown {
        layers: LayersByFamily::both(Layers::NFTABLES),
        ..metadata()
    };
    let plan = plan::install(&[lockdown], &nothing);
    let own = plan.transactions().find_map(|one| match one {
        Transaction::Nftables(operations) => Some(encode::transaction(operations)),
        Transaction::Iptables(..) | Transaction::Named(..) => None,
    });
    own.expect("a transaction for nftables")
}

/// The messages of a dump: each begins with its length.
fn split(mut dump: &[u8]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    while let Some(length) = dump.first_chunk() {
        let length = u32::from_ne_bytes(*length).next_multiple_of(4);
        let length = usize::try_from(length).expect("a length");
        let (message, rest) = dump.split_at_checked(length).expect("a whole message");
        messages.push(message.to_vec());
        dump = rest;
    }
    messages
}

/// The configurations that the project ships and shows, and pairs of them.
pub(crate) fn config() -> Vec<Vec<u8>> {
    let sample = file("packaging/config.toml");
    let mut texts = vec![
        sample.replace("# ", ""),
        sample.replace('\n', "\r\n"),
        sample,
    ];
    for page in ["README.md", "docs/boot.md", "docs/usage.md"] {
        let page = file(page);
        let blocks = page.split("```toml\n").skip(1);
        texts.extend(blocks.filter_map(|block| Some(block.split_once("```")?.0.to_owned())));
    }
    texts.push(
        "[[lockdown]]\naddress = \"169.254.169.254\"\nusers = [\"root\", 1000, \"2000-2099\"]\n\
         groups = [\"metadata\", 7]\nforwarded = \"allow\"\nonly = true\n\n\
         [[lockdown]]\naddress = 'fd00:ec2::254' # the other\nonly = true\n"
            .to_owned(),
    );
    texts.push("lockdown = [{ address = \"10.0.0.1\", users = [] }]\n".to_owned());
    let pairs: Vec<String> = texts
        .iter()
        .map(|text| format!("{text}\0{}", texts[0]))
        .collect();
    texts
        .into_iter()
        .chain(pairs)
        .map(String::into_bytes)
        .collect()
}

/// One word each.
pub(crate) fn arguments() -> Vec<Vec<u8>> {
    words(&[
        "169.254.169.254",
        "[fd00:ec2::254]",
        "::ffff:1.2.3.4",
        "169.254.0.0/16",
        "fe80::1%eth0",
        "root",
        "HOST$",
        "a.b@example.org",
        "4294967294",
        "1000-1999",
        "auto",
        "filter,nftables,security",
        "IPL-169.254.169.254",
        "IPF-fd00_ec2__254",
        "IPL0z-2001:db8::1",
        "IPL-IAENuBI0Vnias97wEjRWeA",
        "zz",
        "ip-lockdown v1 9ab41a0b66ef67c6 layers=filter only forwarded=allow",
        "-m comment --comment \"a \\\" b\" -j RETURN",
    ])
}

/// The documents that the presets build, and those that the page shows.
pub(crate) fn trust_policy() -> Vec<Vec<u8>> {
    let mut seeds = below("crates/trust-policy/tests/policies/golden");
    for page in ["docs/trust-policy.md", "crates/trust-policy/README.md"] {
        let page = file(page);
        let blocks = page.split("```json\n").skip(1);
        seeds.extend(blocks.filter_map(|block| Some(block.split_once("```")?.0.into())));
    }
    seeds.push(b"\xff\xfe{\0}".to_vec());
    seeds
}

/// The values of a role, a line each.
pub(crate) fn role_values() -> Vec<Vec<u8>> {
    words(&[
        "ec2\nlambda.amazonaws.com",
        "123456789012\narn:aws:iam::123456789012:role/path/jenkins",
        "aws-cn\narn:aws-cn:iam::123456789012:role/jenkins",
        "123456789012\nan-external:id/7\nTrustPartner",
        "123456789012\noctocat@1/hello@2\nmain\nRoleName_1",
        "123456789012\n00000000-1111-2222-3333-444444444444",
        "arn:aws:iam::123456789012:oidc-provider/gitlab.com\nsts.amazonaws.com\nproject_path:g/p:*",
    ])
}

/// The units that the project ships, and files of nftables.service and of distributions.
pub(crate) fn units() -> Vec<Vec<u8>> {
    let mut seeds = below("systemd");
    seeds.extend(words(&[
        "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}\n",
        "flush \\\nruleset inet; # all\n",
        "[Service]\nExecStop=/usr/sbin/nft flush ruleset\n\0[Service]\nExecStop=\n",
        "[Service]\nExecStartPost=-/bin/systemctl restart ip-lockdown.service\n\0flush ruleset",
        "NAME=\"Oracle\"\nID=\"ol\"\nID_LIKE='fedora rhel'\n",
    ]));
    seeds
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}

fn file(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files below a folder, by their paths.
fn below(folder: &str) -> Vec<Vec<u8>> {
    let files = files(&root().join(folder));
    assert!(!files.is_empty(), "{folder} has no files");
    let read = |path: &PathBuf| {
        fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    files.iter().map(read).collect()
}

/// The paths of all files below a folder, in order.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry of the folder").path());
    let mut entries: Vec<PathBuf> = entries.collect();
    entries.sort();
    let below = |path: PathBuf| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    };
    entries.into_iter().flat_map(below).collect()
}
