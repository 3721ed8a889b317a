//! What is wrong with the settings, as one line: `program: --flag (VARIABLE): "value" is not allowed: expected …`.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};

use clap::error::{ContextKind, ErrorKind};
use replog_nats::{without_password, without_user_info};

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

impl fmt::Display for WrongSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            flag,
            value,
            expected,
        } = self;
        let value = shown(value);
        write!(f, "{flag}: {value} is not allowed: {expected}")
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

/// Says what is wrong in the names that users know: the program's, a setting's flag and its variable.
#[derive(Debug)]
pub(super) struct Refusals {
    program: String,
    /// The variable of each flag.
    variables: BTreeMap<String, String>,
}

impl Refusals {
    /// `variables` are pairs of a flag, with its dashes, and its variable.
    pub(super) fn new(program: &str, variables: impl Iterator<Item = (String, String)>) -> Self {
        Self {
            program: program.to_owned(),
            variables: variables.collect(),
        }
    }

    /// The variable of a flag.
    pub(super) fn variable(&self, flag: &str) -> Option<&str> {
        self.variables.get(flag).map(String::as_str)
    }

    pub(super) fn wrong(&self, flag: &str, value: &str, expected: &str) -> SettingsExit {
        let program = &self.program;
        let variable = self.variable(flag);
        let name = variable.map(|v| format!(" ({v})")).unwrap_or_default();
        let value = shown(value);
        SettingsExit::Wrong(format!(
            "{program}: {flag}{name}: {value} is not allowed: {expected}"
        ))
    }

    /// clap's error, several lines with usage and hints, as one line of ours.
    pub(super) fn of_clap(&self, error: &clap::Error) -> SettingsExit {
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
                // clap splits the list at each comma, one within a password too: its first half has no `@`.
                let value = match flag {
                    "--nats-url" if !value.contains('@') => without_password(&value),
                    _ => value,
                };
                // The protocol's own values name the value again, which this line has done already.
                match why.split_once(" is not allowed: it must be ") {
                    Some((_, allowed)) => self.wrong(flag, &value, &format!("expected {allowed}")),
                    None => self.wrong(flag, &value, &why),
                }
            }
            ErrorKind::MissingRequiredArgument => {
                SettingsExit::Wrong(format!("{}: {arg} is missing", self.program))
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
                SettingsExit::Wrong(format!("{}: {line}", self.program))
            }
        }
    }

    fn wrong_name(&self, name: &str, suggestion: Option<String>) -> SettingsExit {
        let program = &self.program;
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
