//! `iptables-restore --noflush`, as far as the program uses it (iptables/iptables-restore.c and
//! xtables-restore.c): runs the lines in order on a copy of the table; COMMIT replaces the table with the copy.

use super::kernel::{Chain, Kernel, Rule, Table};

/// The states of the kernel after each COMMIT, and why it stopped if it did.
pub(crate) struct Restored {
    pub(crate) after_commit: Vec<Kernel>,
    pub(crate) failure: Option<String>,
}

pub(crate) fn restore(kernel: &Kernel, text: &str) -> Restored {
    let mut restored = Restored {
        after_commit: Vec::new(),
        failure: None,
    };
    let mut state = kernel.clone();
    let mut open: Option<Table> = None;
    for line in text.lines() {
        if let Err(reason) = read_line(&mut state, &mut open, line) {
            restored.failure = Some(format!("{reason}, at `{line}` of\n{text}"));
            return restored;
        }
        if line == "COMMIT" {
            restored.after_commit.push(state.clone());
        }
    }
    if open.is_some() {
        restored.failure = Some(format!("no COMMIT at the end of\n{text}"));
    }
    restored
}

fn read_line(state: &mut Kernel, open: &mut Option<Table>, line: &str) -> Result<(), String> {
    if let Some(name) = line.strip_prefix('*') {
        let known = ["filter", "security", "nat", "mangle", "raw"].contains(&name);
        (known && open.is_none()).then_some(()).ok_or("a table")?;
        *open = Some(state.clone().table_mut(name).clone());
        return Ok(());
    }
    if line == "COMMIT" {
        let table = open.take().ok_or("COMMIT without a table")?;
        table.check()?;
        let name = table.name.clone();
        *state.table_mut(&name) = table;
        return Ok(());
    }
    let table = open.as_mut().ok_or("a line outside of any table")?;
    if let Some(declaration) = line.strip_prefix(':') {
        let name = declaration
            .strip_suffix(" - [0:0]")
            .ok_or("only chains of users are declared")?;
        return declare(table, name);
    }
    let words = with_numbers(params(line))?;
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["-A", name, spec @ ..] => {
            let chain = table.chain_mut(name).ok_or("no such chain")?;
            chain.rules.push(new_rule(spec));
        }
        ["-I", name, place, spec @ ..] => {
            let chain = table.chain_mut(name).ok_or("no such chain")?;
            let place: usize = place.parse().map_err(|_| "no number")?;
            (1..=chain.rules.len() + 1)
                .contains(&place)
                .then(|| chain.rules.insert(place - 1, new_rule(spec)))
                .ok_or("no such place")?;
        }
        ["-D", name, spec @ ..] => {
            let chain = table.chain_mut(name).ok_or("no such chain")?;
            let place = chain.rules.iter().position(|rule| rule.words == *spec);
            chain.rules.remove(place.ok_or("no such rule")?);
        }
        ["-F", name] => {
            let chain = table.chain_mut(name).ok_or("no such chain")?;
            chain.rules.clear();
        }
        ["-X", name] => {
            let chain = table.chain(name).ok_or("no such chain")?;
            let removable = chain.policy.is_none() && chain.rules.is_empty();
            let mut rules = table.chains.iter().flat_map(|chain| &chain.rules);
            if !removable || rules.any(|rule| rule.leads_to(name)) {
                return Err("the chain is in use".to_owned());
            }
            table.chains.retain(|chain| chain.name != *name);
        }
        _ => return Err("not understood".to_owned()),
    }
    Ok(())
}

/// `owner_mt_parse` of extensions/libxt_owner.c: a word that could be the name of an account is looked up as
/// one, and none here may depend on which accounts there are. The kernel has the two ends of the range.
fn with_numbers(mut words: Vec<String>) -> Result<Vec<String>, String> {
    for at in 1..words.len() {
        if is_owner(&words[at - 1]) {
            let range = saved_range(&words[at]);
            words[at] = range.ok_or_else(|| format!("{} can be a name", words[at]))?;
        }
    }
    Ok(words)
}

fn is_owner(option: &str) -> bool {
    matches!(option, "--uid-owner" | "--gid-owner")
}

/// A range with a colon as `iptables-save` prints it.
fn saved_range(sent: &str) -> Option<String> {
    let (first, last) = sent.split_once(':')?;
    Some(if first == last {
        first.to_owned()
    } else {
        format!("{first}-{last}")
    })
}

/// The lines of a transaction with ids as `iptables-save` prints them.
pub(crate) fn with_saved_ids(sent: &str) -> String {
    let mut words: Vec<String> = sent.split(' ').map(str::to_owned).collect();
    for at in 1..words.len() {
        if is_owner(&words[at - 1])
            && let Some(range) = saved_range(&words[at])
        {
            words[at] = range;
        }
    }
    words.join(" ")
}

/// A user's chain that is there is emptied, whatever `--noflush` says.
fn declare(table: &mut Table, name: &str) -> Result<(), String> {
    match table.chain_mut(name) {
        Some(chain) if chain.policy.is_some() => return Err("a built-in chain".to_owned()),
        Some(chain) => chain.rules.clear(),
        None => table.chains.push(Chain {
            name: name.to_owned(),
            policy: None,
            rules: Vec::new(),
        }),
    }
    Ok(())
}

fn new_rule(words: &[&str]) -> Rule {
    Rule {
        packets: 0,
        words: words.iter().map(|&word| word.to_owned()).collect(),
    }
}

/// `add_param_to_argv` of iptables/xshared.c: a quote opens anywhere, and closing it ends the word.
pub(crate) fn params(line: &str) -> Vec<String> {
    let mut params = Vec::new();
    let mut param = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for letter in line.chars() {
        match letter {
            _ if escaped => {
                param.push(letter);
                escaped = false;
            }
            '\\' if quoted => escaped = true,
            '"' if quoted => {
                quoted = false;
                params.push(std::mem::take(&mut param));
            }
            '"' => quoted = true,
            ' ' | '\t' if !quoted => {
                if !param.is_empty() {
                    params.push(std::mem::take(&mut param));
                }
            }
            _ => param.push(letter),
        }
    }
    if !param.is_empty() {
        params.push(param);
    }
    params
}
