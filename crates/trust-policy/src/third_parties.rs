//! AWS accounts of companies whose products assume roles in their customers' accounts.

/// The accounts, from the companies' public instructions. An account that is missing here looks like any other
/// account of the role's owner.
const ACCOUNTS: &[(&str, &str)] = &[
    ("012615275169", "Tenable"),
    ("017663287629", "New Relic"),
    ("122442690527", "Palo Alto Networks"),
    ("134183635603", "Splunk Observability (SignalFx)"),
    ("147995105371", "Trend Micro"),
    ("165736516723", "Cloudability"),
    ("188619942792", "Prisma Cloud"),
    ("197857026523", "Microsoft Sentinel"),
    ("198361731867", "Snyk"),
    ("202279780353", "nOps"),
    ("205767712438", "Qualys"),
    ("282028653949", "LogicMonitor"),
    ("336818582268", "Rapid7"),
    ("406095609952", "Logz.io"),
    ("414351767826", "Databricks"),
    ("432263259397", "Microsoft Cost Management"),
    ("434813966438", "Lacework"),
    ("454464851268", "CloudHealth"),
    ("464622532012", "Datadog"),
    ("509560245411", "Dynatrace"),
    ("595280932656", "Segment"),
    ("717210094962", "Cloud Conformity"),
    ("754728514883", "New Relic"),
    ("755778135062", "Snyk"),
    ("805246085872", "Qubole"),
    ("834469178297", "Fivetran"),
    ("862820443276", "Trend Micro"),
    ("922761411349", "Spot"),
    ("926226587429", "Sumo Logic"),
];

/// The company that owns the account.
pub(super) fn name(account: &str) -> Option<&'static str> {
    ACCOUNTS
        .iter()
        .find(|(known, _)| *known == account)
        .map(|(_, name)| *name)
}
