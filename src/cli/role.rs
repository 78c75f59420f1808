//! Arguments of `trust-policy build` -> preset, options and format.

use thiserror::Error;
use trust_policy::value::ServiceName;
use trust_policy::{Format, MACHINE_USER, Oidc, Preset, RoleOptions};

use super::{BuildArgs, OidcArgs, PolicyFormat, PresetArgs, RoleArgs, ServiceArgs};

/// Why the arguments describe no role.
#[derive(Debug, Error)]
pub enum RoleError {
    /// IAM users are not built.
    #[error("{MACHINE_USER}")]
    MachineUser,
    /// `--service` is before another preset.
    #[error("--service belongs to the preset service")]
    ServiceBeforePreset,
    /// `--compact` with a format that has no compact form.
    #[error("--compact is an option of --format json")]
    CompactWithoutJson,
    /// `--name` with a policy document.
    #[error("--name needs --format terraform or --format cloudformation")]
    NameInJson,
}

impl RoleError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Self::ServiceBeforePreset => "remove it, or put it after `build service`",
            Self::CompactWithoutJson => "remove one of them",
            Self::NameInJson => {
                "remove --name; a policy document does not contain the name of the role"
            }
            Self::MachineUser => return None,
        };
        Some(help.to_owned())
    }
}

impl BuildArgs {
    /// The preset. Without one, it is `service`.
    ///
    /// # Errors
    /// The preset is not built, or an option belongs to another one.
    pub fn preset(&self) -> Result<Preset, RoleError> {
        let Some(preset) = self.preset.clone() else {
            return Ok(service(self.service.clone()));
        };
        if !self.service.services.is_empty() {
            return Err(RoleError::ServiceBeforePreset);
        }
        Ok(match preset {
            PresetArgs::Service(args) => service(args),
            PresetArgs::ConsulCluster(args) => Preset::ConsulCluster {
                with_permissions: args.with_permissions,
            },
            PresetArgs::AutoDeploy(args) => Preset::AutoDeploy {
                accounts: args.accounts,
                roles: args.roles,
            },
            PresetArgs::SshGrunt(args) => Preset::SshGrunt {
                accounts: args.accounts,
                with_permissions: args.permissions.with_permissions,
            },
            PresetArgs::ThirdParty(args) => Preset::ThirdParty {
                accounts: args.accounts,
                external_id: args.external_id,
            },
            PresetArgs::Oidc(args) => Preset::Oidc(oidc(args)),
            PresetArgs::MachineUser { .. } => return Err(RoleError::MachineUser),
        })
    }
}

impl RoleArgs {
    /// The format.
    ///
    /// # Errors
    /// An option does not fit the format.
    pub fn format(&self) -> Result<Format, RoleError> {
        match self.format {
            PolicyFormat::Json if self.name.is_some() => Err(RoleError::NameInJson),
            PolicyFormat::Json if self.compact => Ok(Format::CompactJson),
            PolicyFormat::Json => Ok(Format::Json),
            _ if self.compact => Err(RoleError::CompactWithoutJson),
            PolicyFormat::Terraform => Ok(Format::Terraform),
            PolicyFormat::CloudFormation => Ok(Format::CloudFormation),
        }
    }

    /// The options of the role.
    #[must_use]
    pub fn options(&self) -> RoleOptions {
        RoleOptions {
            partition: self.partition,
            name: self.name.clone(),
            sid: self.sid.clone(),
            with_guardrail: self.with_guard,
        }
    }
}

fn service(args: ServiceArgs) -> Preset {
    Preset::Service(if args.services.is_empty() {
        vec![ServiceName::ec2()]
    } else {
        args.services
    })
}

fn oidc(args: OidcArgs) -> Oidc {
    match args {
        OidcArgs::GitHub(args) => Oidc::GitHub {
            account: args.provider.account,
            repository: args.repo,
            branch: args.branch,
        },
        OidcArgs::CircleCi(args) => Oidc::CircleCi {
            account: args.provider.account,
            organization: args.org,
            project: args.project,
        },
        OidcArgs::Other(args) => Oidc::Other {
            provider: args.provider,
            audience: args.audience,
            subject: args.subject,
        },
    }
}
