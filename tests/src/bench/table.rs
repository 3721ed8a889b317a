//! What people read.

use std::fmt::Write;

use super::Args;
use super::rounds::Block;
use super::summary::{Line, Spread};

/// Over the lines of [`block`].
pub const HEAD: &str = "\
clients system                 /s        (min-max)  x bare    (min-max)   p50 us   p99 us  CPU us  server/load  of it";

/// What is measured, and how the figures are made.
#[must_use]
pub fn title(args: &Args) -> String {
    let rounds = args.rounds;
    format!(
        "appends of {} bytes, three nodes each, logs {}; medians of {rounds} rounds of {:.2} s\n\
         x bare: within each round; CPU us: processor time of all processes for an append; server/load: that, beside the clients'",
        args.content_bytes,
        if args.disk() { "on disk" } else { "in memory" },
        args.seconds / f64::from(rounds),
    )
}

/// A line for each system, and what else the machine did.
#[must_use]
pub fn block(block: &Block) -> String {
    let mut out = String::new();
    for line in &block.lines {
        out.push_str(&one(block.clients, line));
        out.push('\n');
    }
    if let Some(fsyncs) = block.fsyncs {
        let range = range(fsyncs, 0);
        let own = block.lines.iter().filter(|line| line.system != "bare");
        let each: Vec<String> = own
            .map(|line| format!("{} {:.1}", line.system, line.rate.median / fsyncs.median))
            .collect();
        let _infallible = writeln!(
            out,
            "{:>7} {:<14} {:>10.0} {range:>16}  appends for each bare sync: {}",
            block.clients,
            "bare syncs",
            fsyncs.median,
            each.join(", ")
        );
    }
    let _infallible = writeln!(out, "        {}", block.meanwhile);
    out
}

fn one(clients: usize, line: &Line) -> String {
    let ratio = line.ratio.map(|ratio| format!("{:.2}", ratio.median));
    let ratios = line.ratio.map(|ratio| range(ratio, 2));
    let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let with = |digits: usize| move |value: f64| format!("{value:.digits$}");
    format!(
        "{clients:>7} {:<14} {:>10.0} {:>16}  {:>6} {:>12} {:>8.0} {:>8.0} {:>7} {:>12}  {}",
        line.system,
        line.rate.median,
        range(line.rate, 0),
        or_unknown(ratio),
        or_unknown(ratios),
        line.p50_us.median,
        line.p99_us.median,
        or_unknown(line.cost_us.map(with(1))),
        or_unknown(line.server_per_load.map(with(2))),
        costs(line),
    )
}

/// `master 12.3, secondary1 4.5, …`; nothing if there is only one.
fn costs(line: &Line) -> String {
    if line.costs.len() < 2 {
        return String::new();
    }
    let each = line.costs.iter().map(|cost| {
        let us = cost.us.map_or("-".to_owned(), |us| format!("{us:.1}"));
        format!("{} {us}", cost.process)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn range(spread: Spread, digits: usize) -> String {
    format!("({:.digits$}-{:.digits$})", spread.min, spread.max)
}

#[cfg(test)]
mod tests {
    use super::{HEAD, one};
    use crate::bench::summary::{Cost, Line, Spread};

    #[test]
    fn columns_stand_under_their_heads() {
        let spread = |median: f64| Spread {
            median,
            min: median / 2.0,
            max: median * 2.0,
        };
        let cost = |process: &str, us| Cost {
            process: process.to_owned(),
            us: Some(us),
        };
        let line = Line {
            system: "w3",
            rate: spread(12_000.0),
            ratio: Some(spread(0.3)),
            p50_us: spread(900.0),
            p99_us: spread(4000.0),
            costs: vec![cost("master", 20.0), cost("broker", 11.5)],
            cost_us: Some(31.5),
            server_per_load: None,
            rounds: vec![],
        };
        let text = one(64, &line);
        assert_eq!(
            text,
            "     64 w3                  12000     (6000-24000)    0.30  (0.15-0.60)      900     4000    31.5            -  \
             master 20.0, broker 11.5"
        );
        for (head, cell) in [("/s", "12000"), ("x bare", "0.30"), ("CPU us", "31.5")] {
            let end = |text: &str, word: &str| text.find(word).map(|at| at + word.len());
            assert_eq!(end(HEAD, head), end(&text, cell), "{head}");
        }
    }
}
