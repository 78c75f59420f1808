//! Trust policies, and the values that can be put into one.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use trust_policy::value::{
    AccountId, Audience, Branch, CircleCiId, ExternalId, Partition, ProviderArn, Repository,
    RoleArn, RoleName, ServiceName, Sid, Subject, ValueError,
};
use trust_policy::{CheckOptions, Format, Oidc, Preset, RoleOptions, Severity, check, render};

use crate::text;

/// Checks the bytes as a trust policy. Each diagnostic has a location in the text, and has no
/// control characters.
pub fn trust_policy(bytes: &[u8]) {
    let lines = bytes.split(|&byte| byte == b'\n').count();
    for automated in [false, true] {
        for found in check(bytes, CheckOptions { automated }) {
            assert!((1..=lines).contains(&found.line), "{found:?}");
            assert!((1..=bytes.len() + 1).contains(&found.column), "{found:?}");
            assert!(found.path.starts_with('$'), "{found:?}");
            for text in [&found.path, &found.message, &found.help] {
                assert!(!text.is_empty(), "{found:?}");
                assert!(!text.contains(char::is_control), "{found:?}");
            }
        }
    }
}

/// Reads each line as every value that a role can be built from. An accepted value is printed as it
/// was given; a role that is built from the accepted values passes the check.
pub fn role_values(bytes: &[u8]) {
    let text = text(bytes);
    let values = Values::read(&text);
    let options = RoleOptions {
        partition: values.partition.unwrap_or_default(),
        name: values.name.clone(),
        sid: values.sid.clone(),
        with_guardrail: bytes.len().is_multiple_of(2),
    };
    // One of them: a role takes long to build.
    let presets = values.presets();
    if let Some(preset) = presets.get(bytes.len() % presets.len()) {
        let Ok((role, warnings)) = preset.build(&options) else {
            return;
        };
        let is_warning = |severity| severity == Severity::Warning;
        assert!(warnings.iter().all(|found| is_warning(found.severity())));
        let json = render(&role, Format::Json);
        for found in check(json.as_bytes(), CheckOptions::default()) {
            assert_ne!(found.severity(), Severity::Error, "{json} {found:?}");
        }
        for format in [
            Format::CompactJson,
            Format::Terraform,
            Format::CloudFormation,
        ] {
            assert!(!render(&role, format).is_empty());
        }
    }
}

#[derive(Default)]
struct Values {
    accounts: Vec<AccountId>,
    services: Vec<ServiceName>,
    roles: Vec<RoleArn>,
    external_id: Option<ExternalId>,
    partition: Option<Partition>,
    name: Option<RoleName>,
    sid: Option<Sid>,
    repository: Option<Repository>,
    branch: Option<Branch>,
    project: Option<CircleCiId>,
    provider: Option<ProviderArn>,
    audience: Option<Audience>,
    subject: Option<Subject>,
}

impl Values {
    fn read(text: &str) -> Self {
        let mut values = Self::default();
        for line in text.split('\n').take(4) {
            values.accounts.extend(as_given(line));
            values.roles.extend(as_given(line));
            values.services.extend(value::<ServiceName>(line));
            // The first line that fits. In lower case, as CircleCI prints them.
            values.project = values.project.or_else(|| value(line));
            values.external_id = values.external_id.or_else(|| as_given(line));
            values.partition = values.partition.or_else(|| as_given(line));
            values.name = values.name.or_else(|| as_given(line));
            values.sid = values.sid.or_else(|| as_given(line));
            values.repository = values.repository.or_else(|| as_given(line));
            values.branch = values.branch.or_else(|| as_given(line));
            values.provider = values.provider.or_else(|| as_given(line));
            values.audience = values.audience.or_else(|| as_given(line));
            values.subject = values.subject.or_else(|| as_given(line));
        }
        values
    }

    /// The presets that these values are enough for.
    fn presets(self) -> Vec<Preset> {
        let mut presets = vec![Preset::Service(self.services)];
        if let Some(external_id) = self.external_id {
            presets.push(Preset::ThirdParty {
                accounts: self.accounts.clone(),
                external_id,
            });
        }
        if let (Some(provider), Some(audience), Some(subject)) =
            (self.provider, self.audience, self.subject)
        {
            presets.push(Preset::Oidc(Oidc::Other {
                provider,
                audience,
                subject,
            }));
        }
        if let Some(account) = self.accounts.first() {
            if let (Some(repository), Some(branch)) = (self.repository, self.branch) {
                presets.push(Preset::Oidc(Oidc::GitHub {
                    account: account.clone(),
                    repository,
                    branch,
                }));
            }
            if let Some(project) = self.project {
                presets.push(Preset::Oidc(Oidc::CircleCi {
                    account: account.clone(),
                    organization: project.clone(),
                    project,
                }));
            }
        }
        presets.push(Preset::AutoDeploy {
            accounts: self.accounts,
            roles: self.roles,
        });
        presets
    }
}

/// The value, if the text is one. Its printed form is the same value.
fn value<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = ValueError> + Display + PartialEq + Debug,
{
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            assert!(!printed.contains(char::is_control), "{printed:?}");
            assert_eq!(printed.parse().as_ref(), Ok(&value), "{printed:?}");
            Some(value)
        }
        Err(error) => {
            let message = error.to_string();
            assert!(!message.contains(char::is_control), "{message:?}");
            None
        }
    }
}

fn as_given<T>(text: &str) -> Option<T>
where
    T: FromStr<Err = ValueError> + Display + PartialEq + Debug,
{
    let value: T = value(text)?;
    assert_eq!(value.to_string(), text);
    Some(value)
}
