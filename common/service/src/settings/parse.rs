//! From arguments and environment to settings, or to one line that says what is wrong.
//!
//! clap reads variables itself, but takes an empty one for a value and names only the flag when a variable is wrong. So it
//! gets the flags alone; then what no flag has set and a variable has is put before them as further flags.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};

use super::refusal::{Refusals, SettingsExit, WrongSetting};

/// Looks a variable up by its name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The value of a variable in this process's environment.
#[must_use]
pub fn process_environment(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// The settings of one program.
pub trait Settings: Parser {
    /// What no single value can tell: relations between settings, and the `NATS_*` variables. Called once, by [`parse()`].
    ///
    /// # Errors
    /// The setting that is wrong.
    fn check(&self, environment: Environment<'_>) -> Result<(), WrongSetting>;
}

/// Reads the settings from `args` (the program's name first) and this process's environment.
///
/// # Errors
/// Help or version was asked for, or a setting is wrong.
pub fn parse<C: Settings>(args: impl IntoIterator<Item = OsString>) -> Result<C, SettingsExit> {
    parse_from(args, &process_environment)
}

/// As [`parse()`], with another environment.
///
/// # Errors
/// As [`parse()`].
pub fn parse_from<C: Settings>(
    args: impl IntoIterator<Item = OsString>,
    environment: Environment<'_>,
) -> Result<C, SettingsExit> {
    let args: Vec<OsString> = args.into_iter().collect();
    let plan = Plan::new(C::command());
    let mut command = plan.command.clone();
    let mut matches = command
        .try_get_matches_from_mut(&args)
        .map_err(|e| plan.refusals.of_clap(&e))?;
    plan.check_flags(&matches)?;

    let mut all_args: Vec<OsString> = args.first().cloned().into_iter().collect();
    all_args.extend(plan.flags_from_variables(&matches, environment)?);
    if all_args.len() > 1 {
        all_args.extend(args.into_iter().skip(1));
        matches = command
            .try_get_matches_from_mut(&all_args)
            .map_err(|e| plan.refusals.of_clap(&e))?;
    }
    let settings = C::from_arg_matches(&matches).map_err(|e| plan.refusals.of_clap(&e))?;
    settings.check(environment).map_err(|wrong| {
        let WrongSetting {
            flag,
            value,
            expected,
        } = wrong;
        plan.refusals.wrong(flag, &value, &expected)
    })?;
    Ok(settings)
}

struct Variable {
    id: clap::Id,
    flag: String,
    name: OsString,
    takes_value: bool,
}

/// The command without its variables, and the variables.
struct Plan {
    command: Command,
    variables: Vec<Variable>,
    refusals: Refusals,
}

/// What `--help` says after the flags.
const AFTER_HELP: &str = "\
Every flag has a variable; a flag wins over its variable. Durations and sizes have a unit: 500ms, 2s, 256KiB.

Who to be at the broker, as for the nats CLI, from the environment only:
  NATS_USER, NATS_PASSWORD  user and password
  NATS_TOKEN                a token
  NATS_CREDS                file with a JWT and its seed
  NATS_NKEY                 file with an nkey seed
  NATS_CA                   file with the certificate authority to trust
  NATS_CERT, NATS_KEY       files with this program's certificate and its key
Tokens of HTTP, in place of --tokens-file or beside it, from the environment only:
  REPLOG_TOKEN_READ, REPLOG_TOKEN_APPEND, REPLOG_TOKEN_ADMIN
RUST_LOG is the level of the log: info (the default), debug, or target=level with commas between.

Exit codes:
  0    stopped as asked
  2    a setting is wrong
  3    cannot start: the broker refuses, the address is in use, the data directory cannot be used, the place is taken
  4    the disk failed while running; of a master with --store jetstream also: its stream is gone, was made anew, has lost its end
       or holds what is no chunk
  101  a bug
A second SIGTERM, SIGINT or SIGHUP ends at once, with 128 and the number of the signal.";

impl Plan {
    fn new(command: Command) -> Self {
        let variables: Vec<Variable> = command.get_arguments().filter_map(Variable::of).collect();
        let names = variables.iter().map(|known| {
            let name = known.name.to_string_lossy().into_owned();
            (known.flag.clone(), name)
        });
        let refusals = Refusals::new(command.get_name(), names);
        let command = command.after_help(AFTER_HELP).mut_args(|arg| {
            match arg
                .get_env()
                .map(|name| name.to_string_lossy().into_owned())
            {
                Some(name) => {
                    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                    arg.env(None::<&'static str>)
                        .help(format!("{help} [env: {name}]"))
                }
                None => arg,
            }
        });
        Self {
            command,
            variables,
            refusals,
        }
    }

    /// What clap takes but we do not: empty values, and secrets where `ps` shows them.
    fn check_flags(&self, matches: &ArgMatches) -> Result<(), SettingsExit> {
        for arg in self.command.get_arguments() {
            let id = arg.get_id().as_str();
            let Ok(Some(raw)) = matches.try_get_raw(id) else {
                continue;
            };
            if matches.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            let flag = format!("--{}", arg.get_long().unwrap_or(id));
            for value in raw.map(OsStr::to_string_lossy) {
                if value.is_empty() {
                    return Err(self.refusals.wrong(&flag, "", "expected a value"));
                }
                // A broker's URL may come without its scheme.
                let is_url = value.contains("://") || id == "nats_url";
                if is_url && value.contains('@') {
                    let variable = self.refusals.variable(&flag);
                    let name = variable.unwrap_or("the environment");
                    let expected = format!("secrets do not come from flags: use {name}");
                    return Err(self.refusals.wrong(&flag, &value, &expected));
                }
            }
        }
        Ok(())
    }

    fn flags_from_variables(
        &self,
        matches: &ArgMatches,
        environment: Environment<'_>,
    ) -> Result<Vec<OsString>, SettingsExit> {
        let mut flags = Vec::new();
        for known in &self.variables {
            let given = matches.value_source(known.id.as_str()) == Some(ValueSource::CommandLine);
            let value = environment(&known.name.to_string_lossy());
            let Some(value) = value.filter(|value| !value.is_empty() && !given) else {
                continue;
            };
            let mut flag = OsString::from(&known.flag);
            if known.takes_value {
                flag.push("=");
                flag.push(value);
            } else if value == "false" {
                continue;
            } else if value != "true" {
                return Err(self.refusals.wrong(
                    &known.flag,
                    &value.to_string_lossy(),
                    "expected true or false",
                ));
            }
            flags.push(flag);
        }
        Ok(flags)
    }
}

impl Variable {
    fn of(arg: &Arg) -> Option<Self> {
        Some(Self {
            id: arg.get_id().clone(),
            flag: format!("--{}", arg.get_long()?),
            name: arg.get_env()?.to_owned(),
            takes_value: !matches!(arg.get_action(), ArgAction::SetTrue),
        })
    }
}
