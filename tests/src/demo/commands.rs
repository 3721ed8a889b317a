//! What can be typed into the demo.

use std::io::{BufRead, IsTerminal};
use std::str::FromStr;
use std::thread;

use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;
use tokio::sync::mpsc;

/// What `help` prints.
pub(super) const HELP: &str = "\
  kill NODE      end its process at once, as a power cut would (NODE: master, secondary1, …, nats)
  start NODE     start it again, on the same port
  pause NODE     stop its process where it is (SIGSTOP); connections stay open and nothing is answered
  resume NODE    let it go on
  status         the nodes and their states
  watch          show what goes over the broker, a line a message; again: show no more
  quit           end everything, as Ctrl-C does";

/// Lines that wait to be carried out.
const MAX_LINES: usize = 16;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Something happens to a node.
    Node(Fate, String),
    /// The table is printed.
    Status,
    /// The traffic is shown, or no more.
    Watch,
    /// The commands are printed.
    Help,
    /// All ends.
    Quit,
}

/// What happens to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Kill,
    Start,
    Pause,
    Resume,
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (verb, names) = words.split_first().unwrap_or((&"", &[]));
        let fate = match *verb {
            "kill" => Fate::Kill,
            "start" => Fate::Start,
            "pause" => Fate::Pause,
            "resume" => Fate::Resume,
            _ => {
                let command = match *verb {
                    "status" => Self::Status,
                    "watch" => Self::Watch,
                    "help" => Self::Help,
                    "quit" | "exit" => Self::Quit,
                    _ => return Err(format!("there is no command {verb:?}; these are:\n{HELP}")),
                };
                return match names {
                    [] => Ok(command),
                    [name, ..] => Err(format!("{verb} takes nothing after it, not {name:?}")),
                };
            }
        };
        match names {
            [name] => Ok(Self::Node(fate, (*name).to_owned())),
            _ => Err(format!("{verb} takes one node: {verb} secondary1")),
        }
    }
}

/// The lines that are typed in, until the input ends. A demo in the background has no input: reading it would stop the demo.
pub(super) fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(MAX_LINES);
    let input = std::io::stdin();
    let is_ours = !input.is_terminal() || tcgetpgrp(&input).is_ok_and(|group| group == getpgrp());
    if is_ours {
        // A thread that nobody waits for: reading cannot be given up.
        thread::spawn(move || {
            for line in input.lock().lines() {
                let Ok(line) = line else { break };
                if sender.blocking_send(line).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_command_or_says_what_is_allowed() {
        let command = |line: &str| line.parse::<Command>();
        let killed = Command::Node(Fate::Kill, "secondary1".to_owned());
        assert_eq!(command("  kill  secondary1 "), Ok(killed));
        assert_eq!(command("quit"), Ok(Command::Quit));
        for (wrong, said) in [
            ("stop secondary1", "there is no command \"stop\""),
            ("kill", "kill takes one node"),
            ("kill a b", "kill takes one node"),
            ("status now", "status takes nothing after it, not \"now\""),
        ] {
            let error = command(wrong).expect_err(wrong);
            assert!(error.contains(said), "{wrong}: {error}");
        }
    }
}
