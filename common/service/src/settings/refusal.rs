//! What is wrong with the settings, as one line: `program: --flag (VARIABLE): "value" is not allowed: expected …`.

use std::io::{self, Write};

use clap::error::{ContextKind, ErrorKind};
use replog_nats::without_user_info;

use super::parse::Plan;
use crate::exit::Exit;

/// A setting that was read but does not fit the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongSetting {
    pub(super) flag: &'static str,
    pub(super) value: String,
    pub(super) expected: String,
}

impl WrongSetting {
    /// `flag` with its dashes (a variable where there is no flag), the `value` it has, and what is `expected` ("expected at
    /// most …").
    #[must_use]
    pub fn new(flag: &'static str, value: String, expected: String) -> Self {
        Self {
            flag,
            value,
            expected,
        }
    }
}

/// Why a program ends before it has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsExit {
    /// Help or version, for standard output; exit code 0.
    Shown(String),
    /// One line for standard error that names the setting, the value and what is allowed; exit code 2.
    Wrong(String),
}

impl SettingsExit {
    /// Prints the text where it belongs, and says how to end.
    #[must_use]
    pub fn report(&self) -> Exit {
        // A closed pipe is no reason to panic: the exit code still tells.
        match self {
            Self::Shown(text) => {
                let _ = write!(io::stdout(), "{text}");
                Exit::Stopped
            }
            Self::Wrong(line) => {
                let _ = writeln!(io::stderr(), "{line}");
                Exit::Settings
            }
        }
    }
}

impl Plan {
    pub(super) fn wrong(&self, flag: &str, value: &str, expected: &str) -> SettingsExit {
        let program = self.command.get_name();
        let variable = self.variables.iter().find(|known| known.flag == flag);
        let name = variable
            .map(|known| format!(" ({})", known.name.to_string_lossy()))
            .unwrap_or_default();
        let value = shown(value);
        SettingsExit::Wrong(format!(
            "{program}: {flag}{name}: {value} is not allowed: {expected}"
        ))
    }

    /// clap's error, several lines with usage and hints, as one line of ours.
    pub(super) fn exit(&self, error: &clap::Error) -> SettingsExit {
        let text = error.to_string();
        let context = |kind| error.get(kind).map(ToString::to_string);
        let arg = context(ContextKind::InvalidArg).unwrap_or_default();
        // `--delay <TIME>` or `--delay=<TIME>`: the flag alone.
        let flag = arg.split([' ', '=']).next().unwrap_or_default();
        let value = context(ContextKind::InvalidValue).unwrap_or_default();
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => SettingsExit::Shown(text),
            ErrorKind::InvalidValue => {
                let expected =
                    match context(ContextKind::ValidValue).filter(|values| !values.is_empty()) {
                        Some(values) => format!("expected one of {values}"),
                        None => "expected a value".into(),
                    };
                self.wrong(flag, &value, &expected)
            }
            ErrorKind::ValueValidation => {
                let source = std::error::Error::source(error);
                let why = source.map(ToString::to_string).unwrap_or_default();
                // The protocol's own values name the value again, which this line has done already.
                match why.split_once(" is not allowed: it must be ") {
                    Some((_, allowed)) => self.wrong(flag, &value, &format!("expected {allowed}")),
                    None => self.wrong(flag, &value, &why),
                }
            }
            ErrorKind::TooManyValues => self.wrong(flag, &value, "this flag takes no value"),
            ErrorKind::UnknownArgument => self.wrong_name(&arg, context(ContextKind::SuggestedArg)),
            ErrorKind::InvalidSubcommand => {
                let name = context(ContextKind::InvalidSubcommand).unwrap_or_default();
                self.wrong_name(&name, context(ContextKind::SuggestedSubcommand))
            }
            _ => {
                let line = text.lines().next().unwrap_or_default();
                let line = line.strip_prefix("error: ").unwrap_or(line);
                SettingsExit::Wrong(format!("{}: {line}", self.command.get_name()))
            }
        }
    }

    fn wrong_name(&self, name: &str, suggestion: Option<String>) -> SettingsExit {
        let program = self.command.get_name();
        let hint = suggestion
            .map(|other| format!("did you mean {other}? "))
            .unwrap_or_default();
        let name = shown(name);
        SettingsExit::Wrong(format!(
            "{program}: {name} is not known: {hint}--help lists what is"
        ))
    }
}

/// The value in quotes, on one line, of bounded length, without passwords.
fn shown(value: &str) -> String {
    let value = without_user_info(value);
    match value.char_indices().nth(100) {
        Some((end, _)) => format!("{:?}…", &value[..end]),
        None => format!("{value:?}"),
    }
}
