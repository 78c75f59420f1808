//! The program under test, and its report on its layers.

use std::collections::BTreeMap;
use std::process::Command;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::shell;

/// What is left of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// Whole, and met before any rule of another tool.
    Stands,
    /// Whole, but rules of another tool come first, or nothing leads to it.
    Bypassed,
    /// Not there, or not whole.
    Gone,
}

/// Layers by name.
pub(crate) type Layers = BTreeMap<String, State>;

/// Puts the lockdown in force. Gives the exit code.
pub(crate) fn apply() -> i32 {
    run(&["apply", "169.254.169.254", "root", "--output", "json"]).0
}

/// Opens the address. Gives the exit code.
pub(crate) fn remove() -> i32 {
    run(&["remove", "--output", "json"]).0
}

/// The version, as the program tells it.
pub(crate) fn version() -> String {
    shell::sh("ip-lockdown --version").trim().to_owned()
}

/// Looks. Gives the exit code, the layers that it speaks of, and every finding that did not pass.
pub(crate) fn verify() -> (i32, Layers, Vec<String>) {
    let (code, report) = run(&["verify", "--output", "json"]);
    let findings = report["findings"]
        .as_array()
        .unwrap_or_else(|| panic!("verify without findings: {report}"));
    (code, layers(findings), complaints(findings))
}

fn run(arguments: &[&str]) -> (i32, Value) {
    let done = shell::output(Command::new("ip-lockdown").args(arguments));
    let code = done
        .status
        .code()
        .unwrap_or_else(|| panic!("ip-lockdown {arguments:?} ended with {}", done.status));
    let report = serde_json::from_slice(&done.stdout).unwrap_or_else(|error| {
        panic!(
            "ip-lockdown {arguments:?}: {error}: {} {}",
            String::from_utf8_lossy(&done.stdout),
            String::from_utf8_lossy(&done.stderr)
        )
    });
    (code, report)
}

/// The worst that is said of each layer, over both addresses.
fn layers(findings: &[Value]) -> Layers {
    let mut layers = Layers::new();
    for finding in findings {
        let Some(layer) = finding["layer"].as_str() else {
            continue;
        };
        let state = match (finding["status"].as_str(), finding["id"].as_str()) {
            (Some("pass"), _) => State::Stands,
            (_, Some("jump-first" | "no-bypass")) => State::Bypassed,
            _ => State::Gone,
        };
        let worst = layers.entry(layer.to_owned()).or_insert(state);
        *worst = state.max(*worst);
    }
    layers
}

fn complaints(findings: &[Value]) -> Vec<String> {
    findings
        .iter()
        .filter(|finding| finding["status"] != "pass")
        .map(|finding| {
            format!(
                "{} {} {}: {}",
                finding["status"].as_str().unwrap_or_default(),
                finding["id"].as_str().unwrap_or_default(),
                finding["address"].as_str().unwrap_or_default(),
                finding["message"].as_str().unwrap_or_default()
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_worst_finding_of_a_layer_counts() {
        let findings = [
            json!({"id": "rules-match", "status": "pass", "layer": "filter"}),
            json!({"id": "jump-first", "status": "fail", "layer": "filter"}),
            json!({"id": "rules-match", "status": "fail", "layer": "security"}),
            json!({"id": "jump-first", "status": "fail", "layer": "security"}),
            json!({"id": "rules-match", "status": "pass", "layer": "nftables"}),
            json!({"id": "address-locked", "status": "fail", "layer": null}),
        ];
        let states: Vec<_> = layers(&findings).into_iter().collect();
        assert_eq!(
            states,
            [
                ("filter".to_owned(), State::Bypassed),
                ("nftables".to_owned(), State::Stands),
                ("security".to_owned(), State::Gone),
            ]
        );
        assert_eq!(complaints(&findings).len(), 4);
    }
}
