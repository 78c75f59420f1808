//! Promise: the output of any version of iptables is read without loss, or is an error.
//!
//! Every listing in `tests/pure/corpus` (its README describes their origin) is read and written again.
//! The expectations are derived from the listings without the parser: lines, counts of `-A`, exit codes.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ip_lockdown::policy::{Address, Family};
use ip_lockdown::ruleset::iptables::parse::{self, ParseError};
use ip_lockdown::ruleset::iptables::render;
use ip_lockdown::ruleset::model::{ChainName, Ruleset, Table, Variant};
use ip_lockdown::ruleset::{Native, Observation, installed};
use lab::files::{file_name, read, sorted};
use pretty_assertions::assert_eq;

/// One captured listing.
struct Capture {
    /// `1.8.9-nft/v4-ours.save`, for messages.
    name: String,
    /// `1.8.9-nft` or `A-read-by-B`.
    folder: String,
    /// `v4-ours`
    stem: String,
    family: Family,
    text: String,
    exit_code: u32,
}

impl Capture {
    fn parsed(&self) -> Result<Ruleset, ParseError> {
        parse::ruleset(self.family, &self.text)
    }

    /// What `iptables-save` names as tables that it cannot show.
    fn hidden(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("# Table `"))
            .filter_map(|rest| rest.split_once("' is incompatible"))
            .map(|(table, _)| table)
            .collect()
    }

    /// Before 1.8 there is no `--suppl-groups`, and the nft variant's save has no useful exit code.
    fn is_old(&self) -> bool {
        self.folder.starts_with("1.6.")
    }
}

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pure/corpus")
}

/// Every `.save` that a real iptables printed.
fn captures() -> Vec<Capture> {
    let mut captures = Vec::new();
    let folders = sorted(&corpus())
        .into_iter()
        .chain(sorted(&corpus().join("cross")));
    for folder in folders.filter(|folder| folder.join("status.txt").exists()) {
        let codes: BTreeMap<String, u32> = read(&folder.join("status.txt"))
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let mut fields = line.split('\t');
                let file = fields.next().unwrap().to_owned();
                (file, fields.next().unwrap().parse().unwrap())
            })
            .collect();
        for path in sorted(&folder) {
            let file = file_name(&path);
            let Some(stem) = file.strip_suffix(".save") else {
                continue;
            };
            captures.push(Capture {
                name: format!("{}/{file}", file_name(&folder)),
                folder: file_name(&folder),
                stem: stem.to_owned(),
                family: if stem.starts_with("v4-") {
                    Family::V4
                } else {
                    Family::V6
                },
                text: read(&path),
                exit_code: *codes
                    .get(&file)
                    .unwrap_or_else(|| panic!("{file} has no status")),
            });
        }
    }
    assert!(
        captures.len() > 200,
        "only {} listings found",
        captures.len()
    );
    captures
}

/// The lines that say something, without the blanks that versions before 1.8 leave at their ends.
fn lines(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.trim_end_matches(' ').to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Lines of which the second halves lie on lines of their own: names of interfaces, lists and (in
/// the nft variant up to 1.8.7) chains may hold line breaks, and are printed without quotes.
fn without_broken_names(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let broken = [" -i a", " --name a", " --hashlimit-name a", " -j new"]
            .iter()
            .any(|end| line.ends_with(end));
        if broken || line == ":new" {
            lines.next();
        } else {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The words of a line, without order, quotes and full prefixes: what is left to compare where our
/// own rules are written in one form, whatever the form that they were printed in.
fn bag(line: &str) -> Vec<&str> {
    let mut words: Vec<&str> = line
        .split(' ')
        .map(|word| word.trim_matches('"'))
        .map(|word| word.strip_suffix("/128").unwrap_or(word))
        .collect();
    words.sort_unstable();
    words
}

fn assert_written_again(name: &str, text: &str, parsed: &Ruleset) {
    let (printed, written) = (lines(text), lines(&render::ruleset(parsed)));
    for (printed, written) in printed.iter().zip(&written) {
        if printed != written {
            let ours = [" IPL-", " IPF-"].iter().any(|mark| printed.contains(mark));
            assert!(
                ours,
                "{name}: a foreign rule was rewritten\n  {printed}\n  {written}"
            );
            assert_eq!(bag(printed), bag(written), "{name}");
        }
    }
    assert_eq!(printed.len(), written.len(), "{name}: lines");
}

#[test]
fn what_iptables_prints_is_read_without_loss() {
    for capture in captures() {
        let hides_ours = capture
            .hidden()
            .iter()
            .any(|table| ["filter", "security"].contains(table));
        let readable = capture.exit_code == 0 && !hides_ours && !capture.stem.ends_with("-argv");
        match capture.parsed() {
            Ok(parsed) => {
                assert!(!hides_ours, "{}: a table that was not shown", capture.name);
                assert_eq!(parsed.hidden, capture.hidden(), "{}", capture.name);
                assert_written_again(&capture.name, &capture.text, &parsed);
            }
            Err(error) => assert!(!readable, "{}: {error}", capture.name),
        }
    }
}

/// The listings of `argv` hold names with line breaks. That is an error, since the second half of
/// such a name could look like a rule; the rest of them is read.
#[test]
fn a_line_break_in_a_name_is_an_error_and_in_a_comment_is_not() {
    let mut seen = 0;
    for capture in captures()
        .iter()
        .filter(|capture| capture.stem.ends_with("-argv"))
    {
        assert!(capture.parsed().is_err(), "{}", capture.name);
        let rest = without_broken_names(&capture.text);
        let parsed = parse::ruleset(capture.family, &rest)
            .unwrap_or_else(|error| panic!("{}: {error}", capture.name));
        assert_written_again(&capture.name, &rest, &parsed);
        let filter = parsed.table("filter").unwrap();
        let quoted = "-j ACCEPT\nCOMMIT\n# y\" -j ACCEPT";
        let specs: Vec<String> = filter
            .chain("INPUT")
            .unwrap()
            .rules
            .iter()
            .map(|rule| render::spec(&rule.spec, capture.family))
            .collect();
        assert!(
            specs.iter().any(|spec| spec.ends_with(quoted)),
            "{}",
            capture.name
        );
        assert!(
            specs.iter().any(|spec| spec == "-j \""),
            "{}: a chain called \"",
            capture.name
        );
        assert_eq!(
            filter.chain("OUTPUT").unwrap().rules,
            [],
            "{}",
            capture.name
        );
        seen += 1;
    }
    assert!(seen >= 30, "{seen}");
}

/// Rules a table, by counting lines.
fn counted(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let mut table = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.trim_end().clone_into(&mut table);
            counts.insert(table.clone(), 0);
        } else if line.starts_with("-A") || (line.starts_with('[') && line.contains("] -A ")) {
            *counts.get_mut(&table).unwrap() += 1;
        }
    }
    counts
}

fn rules_of(table: &Table) -> usize {
    table.chains.iter().map(|chain| chain.rules.len()).sum()
}

#[test]
fn no_rule_is_lost_by_count() {
    for capture in captures() {
        let Ok(parsed) = capture.parsed() else {
            continue;
        };
        let read: BTreeMap<String, usize> = parsed
            .tables
            .iter()
            .map(|table| (table.name.clone(), rules_of(table)))
            .collect();
        assert_eq!(read, counted(&capture.text), "{}", capture.name);
    }
}

/// `iptables -S` is another program's view of the same table.
#[test]
fn iptables_s_counts_as_many_chains_and_rules() {
    let mut compared = 0;
    for capture in captures() {
        let Ok(parsed) = capture.parsed() else {
            continue;
        };
        // A program that fell over (1.8.7 on a foreign chain) may do so between two tables.
        if capture.is_old() || capture.exit_code != 0 {
            continue;
        }
        for table in ["filter", "security", "nat"] {
            let path = corpus().join(format!("{}/{}-{table}.S", capture.folder, capture.stem));
            if !path.exists() {
                continue;
            }
            let listed = read(&path);
            let count = |option: &str| {
                listed
                    .lines()
                    .filter(|line| line.starts_with(option))
                    .count()
            };
            let name = format!("{} {table}", capture.name);
            match parsed.table(table) {
                Some(table) => {
                    let built_in = |chain: &&_| chain_is_built_in(chain);
                    assert_eq!(rules_of(table), count("-A "), "{name}");
                    assert_eq!(
                        table.chains.iter().filter(built_in).count(),
                        count("-P "),
                        "{name}"
                    );
                    assert_eq!(
                        table.chains.iter().filter(|chain| !built_in(chain)).count(),
                        count("-N "),
                        "{name}"
                    );
                }
                // Not in use yet: -S shows the policies that it would have.
                None => assert_eq!(count("-A ") + count("-N "), 0, "{name}"),
            }
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}

fn chain_is_built_in(chain: &ip_lockdown::ruleset::model::Chain) -> bool {
    chain.policy.is_some()
}

/// What `input/v*-ours.rules` puts into each chain, by table and chain.
fn loaded(family: Family) -> BTreeMap<(String, String), Vec<String>> {
    let file = match family {
        Family::V4 => "input/v4-ours.rules",
        Family::V6 => "input/v6-ours.rules",
    };
    let mut chains: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let mut table = String::new();
    for line in read(&corpus().join(file)).lines() {
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(rest) = line.strip_prefix("-A ") {
            let (chain, spec) = rest.split_once(' ').unwrap();
            chains
                .entry((table.clone(), chain.to_owned()))
                .or_default()
                .push(spec.to_owned());
        } else if let Some(rest) = line.strip_prefix("-I ") {
            let (chain, spec) = rest.split_once(" 1 ").unwrap();
            chains
                .entry((table.clone(), chain.to_owned()))
                .or_default()
                .insert(0, spec.to_owned());
        }
    }
    assert_eq!(
        chains.len(),
        8,
        "OUTPUT, FORWARD and two chains of ours, in two tables"
    );
    chains
}

/// The same by what was read; `None` when a rule is not one of our forms.
fn recognised(parsed: &Ruleset) -> Option<BTreeMap<(String, String), Vec<String>>> {
    let mut chains = BTreeMap::new();
    for table in &parsed.tables {
        for chain in table.chains.iter().filter(|chain| !chain.rules.is_empty()) {
            let specs = chain
                .own_rules()?
                .into_iter()
                .map(|rule| render::rule(rule, parsed.family))
                .collect();
            chains.insert((table.name.clone(), chain.name.clone()), specs);
        }
    }
    Some(chains)
}

#[test]
fn a_lockdown_is_recognised_whatever_version_prints_it() {
    let mut seen = 0;
    for capture in captures() {
        let ours = [
            "-ours",
            "-ours-counters",
            "-beside-legacy",
            "-beside-legacy-counters",
        ];
        if !ours.iter().any(|end| capture.stem.ends_with(end)) {
            continue;
        }
        // `cross`: written by one version, read by another, which leaves out what it does not know.
        let cross = capture.folder.contains("-read-by-");
        match capture.parsed() {
            Ok(parsed) if capture.is_old() || cross => {
                if let Some(read) = recognised(&parsed) {
                    assert_eq!(read, loaded(capture.family), "{}", capture.name);
                }
            }
            Ok(parsed) => {
                assert_eq!(
                    recognised(&parsed),
                    Some(loaded(capture.family)),
                    "{}",
                    capture.name
                );
                seen += 1;
            }
            Err(error) => assert!(capture.is_old(), "{}: {error}", capture.name),
        }
    }
    assert!(seen >= 40, "{seen}");
}

/// Rules that look like ours and are not, in a chain of ours: none may make it count as intact.
#[test]
fn look_alikes_are_foreign() {
    let mut seen = 0;
    for capture in captures() {
        let Ok(parsed) = capture.parsed() else {
            continue;
        };
        let odd = capture.stem == "v4-odd" || capture.stem == "v4-odd-counters";
        let chain = parsed
            .table("filter")
            .and_then(|filter| filter.chain("IPL-169.254.169.254"))
            .filter(|_| odd);
        let Some(chain) = chain else { continue };
        for rule in &chain.rules {
            let text = render::spec(&rule.spec, Family::V4);
            let suspicious = text.contains("-j ACCEPT")
                || text.contains("! --uid-owner")
                || text.contains("! --gid-owner")
                || text.contains("LOG")
                || text.matches("-owner ").count() > 1;
            assert!(
                !suspicious || rule.own().is_none(),
                "{}: {text}",
                capture.name
            );
        }
        assert_eq!(chain.own_rules(), None, "{}", capture.name);
        assert!(nothing_in_force(parsed), "{}", capture.name);
        seen += 1;
    }
    assert!(seen >= 10, "{seen}");
}

fn nothing_in_force(parsed: Ruleset) -> bool {
    let seen = Observation {
        variant: Some(Variant::Nft),
        families: vec![(parsed.family, Ok(parsed))],
        unusable: Vec::new(),
        other: Vec::new(),
        nf_tables: Ok(true),
        nftables: Ok(None),
        native: Ok(Native::default()),
    };
    installed(&seen).lockdowns.is_empty()
}

/// What becomes of each file of `rubbish` that is read; all others must be errors.
enum Lenient {
    /// Says that there are no tables, as a fresh kernel's listing does.
    NoTables,
    /// A whole listing in an odd dress: reads as `1.8.9-nft/v4-ours.save`.
    Whole,
    /// Other people's rules alone.
    Foreign,
    /// Whole tables, with a rule in our chains that is none of our forms: the lockdown is damaged.
    Damaged,
}

fn lenient(file: &str) -> Option<Lenient> {
    Some(match file {
        "empty" | "newline" => Lenient::NoTables,
        // Windows line ends, empty lines, a missing last line end, and lines of `#` before the
        // first table (which iptables prints itself) cost no rule.
        "crlf.save" | "no-last-newline.save" | "error-then-rules.save" => Lenient::Whole,
        "long-line.save" => Lenient::Foreign,
        "bad-uids.save"
        | "bad-quotes.save"
        | "negated-nothing.save"
        | "nul-in-a-rule.save"
        | "option-without-value.save" => Lenient::Damaged,
        _ => return None,
    })
}

#[test]
fn rubbish_is_never_taken_for_a_firewall() {
    let whole =
        parse::ruleset(Family::V4, &read(&corpus().join("1.8.9-nft/v4-ours.save"))).unwrap();
    let chain: ChainName = "IPL-169.254.169.254".parse().unwrap();
    let paths = sorted(&corpus().join("rubbish"));
    assert_eq!(paths.len(), 40);
    for path in paths {
        let name = file_name(&path);
        let parsed = parse::ruleset(Family::V4, &read(&path));
        match (lenient(&name), parsed) {
            (None, Err(_)) => {}
            (None, Ok(parsed)) => panic!("{name} was read: {:?}", parsed.tables),
            (Some(_), Err(error)) => panic!("{name}: {error}"),
            (Some(Lenient::NoTables), Ok(parsed)) => assert_eq!(parsed.tables, [], "{name}"),
            (Some(Lenient::Whole), Ok(parsed)) => assert_eq!(parsed, whole, "{name}"),
            (Some(Lenient::Foreign), Ok(parsed)) => {
                assert_eq!(parsed.locked_addresses(), Vec::<Address>::new(), "{name}");
            }
            (Some(Lenient::Damaged), Ok(parsed)) => {
                assert_eq!(parsed.locked_addresses(), [chain.address], "{name}");
                for table in &parsed.tables {
                    let chain = table.chain(&chain.to_string()).unwrap();
                    assert_eq!(chain.own_rules(), None, "{name} {}", table.name);
                }
                assert!(nothing_in_force(parsed), "{name}");
            }
        }
    }
}
