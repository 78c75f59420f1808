//! Rules on principals: each principal by itself, and whether it can use the actions.

use std::collections::BTreeSet;

use super::reach;
use super::report::Report;
use super::source::{Location, Node};
use super::statement::{Assume, ParsedStatement};
use crate::diagnostic::Code;
use crate::principal::{self, AwsPrincipal, Federated, PrincipalFault};
use crate::text::{quote, short};
use crate::{services, third_parties};

/// Reports principals of another partition than the first: no role can trust principals of two partitions.
pub(super) fn check_partitions(statements: &[ParsedStatement], report: &mut Report) {
    let arns = statements
        .iter()
        .flat_map(|statement| statement.aws.iter().chain(&statement.federated))
        .filter_map(|(text, node)| Some((principal::partition(text)?, text, node)));
    let mut first = None;
    for (partition, text, node) in arns {
        let first = *first.get_or_insert(partition);
        if partition != first {
            report.add(
                Code::BadPartition,
                &node.location,
                format!("{} belongs to the partition {partition}, but the first principal to {first}", quote(text)),
                "name only principals of the role's partition; create a second role in the other partition",
            );
        }
    }
}

/// Reports services that call further actions beside `sts:AssumeRole`, if no statement allows these.
pub(super) fn check_session_actions(statements: &[ParsedStatement], report: &mut Report) {
    let allows = || statements.iter().filter(|statement| statement.allow);
    let lets_in = |statement: &&ParsedStatement| statement.actions.contains(Assume::Role.action());
    let mut seen = BTreeSet::new();
    for (service, node) in allows().filter(lets_in).flat_map(|allow| &allow.services) {
        let needed = services::further_actions(service);
        if needed.is_empty() || !seen.insert(*service) {
            continue;
        }
        let of_it =
            || allows().filter(|allow| allow.services.iter().any(|(name, _)| name == service));
        let is_missing = |action: &&&str| !of_it().any(|allow| allow.actions.contains(**action));
        let missing: Vec<&str> = needed.iter().filter(is_missing).copied().collect();
        // An action that could not be parsed has a diagnostic of its own.
        if missing.is_empty() || of_it().any(|allow| allow.has_unknown_action) {
            continue;
        }
        let missing = missing.join(" and ");
        report.add(
            Code::SessionActionMissing,
            &node.location,
            format!("{service} also calls {missing}, which no statement allows; the service may fail to assume the role"),
            format!("allow {missing} beside sts:AssumeRole"),
        );
    }
}

/// Checks the principals of a statement.
pub(super) fn check(statement: &ParsedStatement, report: &mut Report) {
    // The action that each principal can use; only for principals that could be parsed.
    let mut usable: Vec<(Assume, Location)> = Vec::new();
    let mut has_fault = false;
    for (text, node) in &statement.services {
        match principal::service(text) {
            Ok(service) => {
                usable.push((Assume::Role, node.location.clone()));
                if service.china {
                    report.add(
                        Code::ChinaSuffix,
                        &node.location,
                        format!("{} has China's legacy suffix", quote(text)),
                        "use <service>.amazonaws.com, also in China; keep the suffix only for codedeploy, \
                         elasticmapreduce and logs",
                    );
                }
                if !service.known {
                    report.add(
                        Code::UnknownService,
                        &node.location,
                        format!("{} is not in the list of known services", quote(text)),
                        match service.near {
                            Some(near) => format!("did you mean {near:?}? Ignore this warning if the service is new"),
                            None => "check the name in the service's documentation; ignore this warning if it is correct"
                                .to_owned(),
                        },
                    );
                }
            }
            Err(fault) => {
                has_fault = true;
                report_fault(&fault, node, report);
            }
        }
    }
    for (text, node) in &statement.aws {
        match principal::aws(text) {
            Ok(AwsPrincipal::Everybody) if statement.allow => {
                usable.push((Assume::Role, node.location.clone()));
                check_everybody(statement, node, report);
            }
            // A Deny for everybody names no kind of principal.
            Ok(AwsPrincipal::Everybody) => has_fault = true,
            Ok(who) => {
                usable.push((Assume::Role, node.location.clone()));
                if statement.allow {
                    check_account(who, statement, node, report);
                }
            }
            Err(fault) => {
                has_fault = true;
                report_fault(&fault, node, report);
            }
        }
    }
    for (text, node) in &statement.federated {
        let assume = match principal::federated(text) {
            Ok(Federated::Oidc { .. }) => Assume::WebIdentity,
            Ok(Federated::Saml) => Assume::Saml,
            Err(fault) => {
                has_fault = true;
                report_fault(&fault, node, report);
                continue;
            }
        };
        usable.push((assume, node.location.clone()));
    }
    if !has_fault {
        check_actions(&statement.assumes, &usable, report);
    }
}

/// Reports actions that no principal can use, and principals that can use no action.
fn check_actions(
    assumes: &[(Assume, Location)],
    usable: &[(Assume, Location)],
    report: &mut Report,
) {
    if usable.is_empty() || assumes.is_empty() {
        return;
    }
    let help = |assume| match assume {
        Assume::Role => "sts:AssumeRole needs a principal under Service or AWS",
        Assume::Saml => "sts:AssumeRoleWithSAML needs the ARN of a SAML provider under Federated",
        Assume::WebIdentity => {
            "sts:AssumeRoleWithWebIdentity needs an OIDC provider under Federated"
        }
    };
    let mut fits = true;
    for (assume, location) in assumes {
        if !usable.iter().any(|(usable, _)| usable == assume) {
            fits = false;
            let message = format!("no principal of this statement can use {}", assume.action());
            report.add(
                Code::ActionPrincipalMismatch,
                location,
                message,
                help(*assume),
            );
        }
    }
    for (needed, location) in usable {
        if fits && !assumes.iter().any(|(assume, _)| assume == needed) {
            let message = format!("this principal needs the action {}", needed.action());
            report.add(
                Code::ActionPrincipalMismatch,
                location,
                message,
                help(*needed),
            );
        }
    }
}

/// Reports that a statement trusts everybody.
fn check_everybody(statement: &ParsedStatement, node: &Node, report: &mut Report) {
    let mut tests = statement.conditions.iter();
    match tests.find(|test| reach::keeps_strangers_out(test)) {
        None => report_fault(&PrincipalFault::Everybody, node, report),
        Some(test) => report.add(
            Code::WildcardNarrowed,
            &node.location,
            format!(
                "`*` trusts every AWS account in the world; only the condition on {} keeps strangers out",
                short(test.name)
            ),
            "name the accounts or roles if possible; otherwise keep this condition",
        ),
    }
}

/// Reports that a statement trusts a whole account, or a third party without an external ID.
fn check_account(who: AwsPrincipal, statement: &ParsedStatement, node: &Node, report: &mut Report) {
    let mut tests = statement.conditions.iter();
    if tests.any(|test| reach::requires_known(test, "sts:externalid")) {
        return;
    }
    if let Some(company) = who.account().and_then(third_parties::name) {
        report.add(
            Code::NoExternalId,
            &node.location,
            format!("the account belongs to {company}, and its other customers can use the role through it (confused deputy)"),
            "require the external ID that the company gave you, by StringEquals on sts:ExternalId",
        );
    }
    let narrowed = statement.conditions.iter().any(reach::narrows_account);
    if let AwsPrincipal::Account(account) = who
        && !narrowed
    {
        report.add(
            Code::WholeAccount,
            &node.location,
            format!("the policy trusts the whole account {account}: its administrators decide who can assume the role"),
            "name the roles that need it by their ARN; if the account belongs to a third party, require sts:ExternalId",
        );
    }
}

fn report_fault(fault: &PrincipalFault, node: &Node, report: &mut Report) {
    let code = match fault {
        PrincipalFault::Everybody
        | PrincipalFault::Wildcard(_)
        | PrincipalFault::ServiceWildcard(_)
        | PrincipalFault::ProviderWildcard(_) => Code::WildcardPrincipal,
        PrincipalFault::ArnAsService(_) => Code::ArnAsService,
        PrincipalFault::ServiceAsAws(_) => Code::ServiceAsAws,
        PrincipalFault::ServiceName { .. } => Code::BadServiceName,
        PrincipalFault::Account(_) => Code::BadAccount,
        PrincipalFault::Partition { .. } => Code::BadPartition,
        PrincipalFault::Arn(_)
        | PrincipalFault::Deleted(_)
        | PrincipalFault::Provider(_)
        | PrincipalFault::ProviderAsAws(_)
        | PrincipalFault::AwsAsProvider(_) => Code::BadArn,
        PrincipalFault::Group(_) => Code::UnsupportedPrincipal,
    };
    report.add(code, &node.location, fault.to_string(), fault.help());
}
