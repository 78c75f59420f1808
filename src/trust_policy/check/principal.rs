//! Who is trusted: each principal by itself, and whether the actions fit.

use std::collections::BTreeSet;

use super::source::{Node, Place};
use super::statement::{Assume, Statement};
use super::{Code, Report, quote, reach};
use crate::trust_policy::principal::{self, AwsPrincipal, Federated, PrincipalFault, short};
use crate::trust_policy::{services, third_parties};

/// Tells of principals of another partition than the first: trust does not cross partitions.
pub(super) fn of_one_partition(statements: &[Statement], report: &mut Report) {
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
                &node.place,
                format!("{} is of the partition {partition}, and the first principal of {first}", quote(text)),
                "name principals of the role's own partition: a role of another one needs a trust policy of its own",
            );
        }
    }
}

/// Tells of a service that calls more than `sts:AssumeRole`, and is allowed it nowhere.
pub(super) fn further_actions(statements: &[Statement], report: &mut Report) {
    let allows = || statements.iter().filter(|statement| statement.allow);
    let lets_in = |statement: &&Statement| statement.actions.contains(Assume::Role.action());
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
        // An action that could not be read is told by itself.
        if missing.is_empty() || of_it().any(|allow| allow.unread) {
            continue;
        }
        let missing = missing.join(" and ");
        report.add(
            Code::SessionActionMissing,
            &node.place,
            format!("{service} calls {missing} too, and no statement allows it that: perhaps it cannot assume the role"),
            format!("allow it {missing} beside sts:AssumeRole"),
        );
    }
}

/// Looks at the principals of a statement.
pub(super) fn look(statement: &Statement, report: &mut Report) {
    // Which action each principal can use; none for those that could not be read.
    let mut usable: Vec<(Assume, Place)> = Vec::new();
    let mut unread = false;
    for (text, node) in &statement.services {
        match principal::service(text) {
            Ok(service) => {
                usable.push((Assume::Role, node.place.clone()));
                if service.china {
                    report.add(
                        Code::ChinaSuffix,
                        &node.place,
                        format!("{} has the legacy suffix of China", quote(text)),
                        "services are called <service>.amazonaws.com in China too; keep it for codedeploy, \
                         elasticmapreduce and logs, which may still use it",
                    );
                }
                if !service.known {
                    report.add(
                        Code::UnknownService,
                        &node.place,
                        format!("{} is not one of the services that are known here", quote(text)),
                        match service.near {
                            Some(near) => format!("perhaps you mean {near:?}? If it is a new service, nothing is wrong"),
                            None => "look its name up in the documentation of the service; if it is right, nothing is wrong"
                                .to_owned(),
                        },
                    );
                }
            }
            Err(fault) => {
                unread = true;
                told(&fault, node, report);
            }
        }
    }
    for (text, node) in &statement.aws {
        match principal::aws(text) {
            Ok(AwsPrincipal::Everybody) if statement.allow => {
                usable.push((Assume::Role, node.place.clone()));
                everybody(statement, node, report);
            }
            // A statement that denies to everybody names nobody of a kind.
            Ok(AwsPrincipal::Everybody) => unread = true,
            Ok(who) => {
                usable.push((Assume::Role, node.place.clone()));
                if statement.allow {
                    account(who, statement, node, report);
                }
            }
            Err(fault) => {
                unread = true;
                told(&fault, node, report);
            }
        }
    }
    for (text, node) in &statement.federated {
        let assume = match principal::federated(text) {
            Ok(Federated::Oidc { .. }) => Assume::WebIdentity,
            Ok(Federated::Saml) => Assume::Saml,
            Err(fault) => {
                unread = true;
                told(&fault, node, report);
                continue;
            }
        };
        usable.push((assume, node.place.clone()));
    }
    if !unread {
        fit(&statement.assumes, &usable, report);
    }
}

/// Every action has a principal that can use it, and every principal an action.
fn fit(assumes: &[(Assume, Place)], usable: &[(Assume, Place)], report: &mut Report) {
    if usable.is_empty() || assumes.is_empty() {
        return;
    }
    let cure = |assume| match assume {
        Assume::Role => "sts:AssumeRole goes with Service and AWS",
        Assume::Saml => {
            "sts:AssumeRoleWithSAML goes with the ARN of a SAML provider under Federated"
        }
        Assume::WebIdentity => {
            "sts:AssumeRoleWithWebIdentity goes with an OIDC provider under Federated"
        }
    };
    let mut fits = true;
    for (assume, place) in assumes {
        if !usable.iter().any(|(usable, _)| usable == assume) {
            fits = false;
            let message = format!("none of the principals can use {}", assume.action());
            report.add(Code::ActionPrincipalMismatch, place, message, cure(*assume));
        }
    }
    for (needed, place) in usable {
        if fits && !assumes.iter().any(|(assume, _)| assume == needed) {
            let message = format!("this principal needs the action {}", needed.action());
            report.add(Code::ActionPrincipalMismatch, place, message, cure(*needed));
        }
    }
}

/// What trusting everybody means.
fn everybody(statement: &Statement, node: &Node, report: &mut Report) {
    let mut tests = statement.conditions.iter();
    match tests.find(|test| reach::keeps_strangers_out(test)) {
        None => told(&PrincipalFault::Everybody, node, report),
        Some(test) => report.add(
            Code::WildcardNarrowed,
            &node.place,
            format!(
                "`*` is every AWS account in the world, and only the test of {} keeps strangers out",
                short(test.name)
            ),
            "name the accounts or roles if you can; else keep that test as it is",
        ),
    }
}

/// What trusting an account means.
fn account(who: AwsPrincipal, statement: &Statement, node: &Node, report: &mut Report) {
    let mut tests = statement.conditions.iter();
    if tests.any(|test| reach::tells(test, "sts:externalid")) {
        return;
    }
    if let Some(company) = who.account().and_then(third_parties::name) {
        report.add(
            Code::NoExternalId,
            &node.place,
            format!("the account is {company}'s, and no external id is demanded: other customers of it could use the role through it"),
            "demand the id that it gave you, by StringEquals on sts:ExternalId (trust-policy build third-party)",
        );
    }
    let narrowed = statement.conditions.iter().any(reach::narrows_account);
    if let AwsPrincipal::Account(account) = who
        && !narrowed
    {
        report.add(
            Code::WholeAccount,
            &node.place,
            format!("the whole account {account} is trusted: everybody in it whom its administrators allow"),
            "name the roles that need it by their ARN; if the account is a third party's, demand sts:ExternalId",
        );
    }
}

fn told(fault: &PrincipalFault, node: &Node, report: &mut Report) {
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
    report.add(code, &node.place, fault.to_string(), fault.cure());
}
