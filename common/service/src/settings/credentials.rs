//! The `nats` CLI's own variables, read into what the link to the broker takes. Secrets are never flags.

use replog_nats::{Credentials, CredentialsError};

use super::parse::Environment;
use super::refusal::WrongSetting;

/// The credentials that the `NATS_*` variables of that environment name. Their files are checked; the link reads them again at
/// each connect.
///
/// # Errors
/// The variable that is wrong: one that needs another, or whose file cannot be used. Never a secret.
pub fn credentials(environment: Environment<'_>) -> Result<Credentials, WrongSetting> {
    let text = |name: &str| environment(name).map(|value| value.to_string_lossy().into_owned());
    let credentials = Credentials::from_variables(text).map_err(wrong)?;
    credentials.check().map_err(wrong)?;
    Ok(credentials)
}

fn wrong(error: CredentialsError) -> WrongSetting {
    match error {
        CredentialsError::File {
            variable,
            path,
            error,
        } => WrongSetting::new(
            variable,
            path.display().to_string(),
            format!("expected a file that can be used ({error})"),
        ),
        CredentialsError::Alone { variable, other } => WrongSetting::new(
            variable,
            "set".to_owned(),
            format!("expected {other} beside it"),
        ),
    }
}
