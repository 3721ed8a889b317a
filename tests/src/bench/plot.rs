//! A picture of the table: appends a second over clients, one line a system.

use std::ops::Range;

use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use super::Args;
use super::rounds::Block;
use super::systems::start::Kind;

const SIZE: (u32, u32) = (900, 520);
/// The width of the legend.
const LEGEND: u32 = 150;
/// One for each [`Kind`]. Told apart by people who do not see all colours, too (Okabe and Ito).
const COLOURS: [RGBColor; 9] = [
    RGBColor(90, 90, 90),
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(120, 60, 0),
    RGBColor(0, 0, 0),
];

/// What the picture shows.
#[must_use]
pub fn title(args: &Args) -> String {
    format!(
        "Appends of {} bytes, three nodes on one machine, logs {}",
        args.content_bytes,
        if args.disk() { "on disk" } else { "in memory" }
    )
}

/// Draws it, as SVG. Each point is the median of the rounds, with a stroke from the least to the most.
///
/// # Errors
/// There is nothing to draw.
pub fn draw(blocks: &[Block], title: &str) -> Result<String> {
    let mut out = String::new();
    let drawn = chart(blocks, title, SVGBackend::with_string(&mut out, SIZE));
    drawn.map_err(|error| anyhow!("draw: {error}"))?;
    Ok(out)
}

fn chart(blocks: &[Block], title: &str, backend: SVGBackend<'_>) -> Result<()> {
    let points = |system: &str| -> Vec<(f64, f64, f64, f64)> {
        let lines = blocks.iter().flat_map(|block| {
            let own = block.lines.iter().filter(|line| line.system == system);
            own.map(|line| (block.clients as f64, line.rate))
        });
        let points = lines.map(|(x, rate)| (x, rate.median, rate.min, rate.max));
        points.collect()
    };
    let mut systems: Vec<&str> = Vec::new();
    for line in blocks.iter().flat_map(|block| &block.lines) {
        if !systems.contains(&line.system) {
            systems.push(line.system);
        }
    }
    ensure!(!systems.is_empty(), "no appends were measured");
    let all = systems.iter().flat_map(|system| points(system));
    let (least, most) = all.fold((f64::MAX, 1.0_f64), |(least, most), (_, _, min, max)| {
        (least.min(min.max(1.0)), most.max(max))
    });
    let clients = blocks.iter().map(|block| block.clients as f64);
    let (fewest, many) = clients
        .clone()
        .fold((f64::MAX, 1.0_f64), |(least, most), one| {
            (least.min(one), most.max(one))
        });
    let x = Logarithmic::around(fewest, many, clients);
    let y = Logarithmic::around(least, most, round_numbers());

    let root = backend.into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 - LEGEND);
    let mut chart = ChartBuilder::on(&left)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(82)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .x_desc("clients at the same time")
        .y_desc("appends a second (logarithmic: equal ratios are equally far apart)")
        .x_label_formatter(&|x: &f64| format!("{x:.0}"))
        .y_label_formatter(&|y: &f64| thousands(*y))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 16))
        .axis_desc_style(("sans-serif", 17))
        .draw()?;
    for (row, system) in (1..).zip(&systems) {
        let (colour, points) = (colour(system), points(system));
        let line = points.iter().map(|&(x, median, _, _)| (x, median));
        chart.draw_series(LineSeries::new(line.clone(), colour.stroke_width(2)))?;
        chart.draw_series(line.map(|point| Circle::new(point, 3, colour.filled())))?;
        chart.draw_series(points.iter().map(|&(x, _, min, max)| {
            PathElement::new([(x, min), (x, max)], colour.mix(0.6).stroke_width(1))
        }))?;
        let y = 30 + row * 24;
        right.draw(&PathElement::new([(0, y), (24, y)], colour.stroke_width(2)))?;
        let name = Text::new((*system).to_owned(), (32, y - 7), ("sans-serif", 17));
        right.draw(&name)?;
    }
    root.present().context("the picture's end")
}

/// Of one system, in every picture.
fn colour(system: &str) -> RGBColor {
    let mut kinds = Kind::value_variants().iter().zip(COLOURS);
    let own = kinds.find(|(kind, _)| kind.name() == system);
    own.map_or(BLACK, |(_, colour)| colour)
}

/// An axis on which equal ratios are equally far apart.
pub(super) struct Logarithmic {
    range: Range<f64>,
    /// Where there is a number.
    ticks: Vec<f64>,
}

impl Logarithmic {
    /// From a bit below the least to a bit above the most; both are above 0.
    pub(super) fn around(least: f64, most: f64, ticks: impl IntoIterator<Item = f64>) -> Self {
        let range = least / 1.25..most * 1.25;
        Self {
            ticks: ticks
                .into_iter()
                .filter(|tick| range.contains(tick))
                .collect(),
            range,
        }
    }
}

impl Ranged for Logarithmic {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let share = (value / self.range.start).ln() / (self.range.end / self.range.start).ln();
        low + (share * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

/// 1, 2, 5, 10, 20, 50, …
pub(super) fn round_numbers() -> impl Iterator<Item = f64> {
    let decades = (0..10).map(|power| 10_f64.powi(power));
    decades.flat_map(|one| [one, 2.0 * one, 5.0 * one])
}

/// `1234567.0` as `1 234 567`.
pub(super) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use plotters::style::RGBColor;

    use super::{colour, draw, thousands};
    use crate::bench::machine::Moment;
    use crate::bench::rounds::Block;
    use crate::bench::summary::{Line, Sample};

    #[test]
    fn every_system_has_a_line_and_a_name_and_the_axes_have_units() -> anyhow::Result<()> {
        let line = |system, requests| {
            let sample = Sample {
                requests,
                seconds: 1.0,
                p50_us: 1,
                p99_us: 1,
                p999_us: 1,
                servers: vec![],
                load_cpu_seconds: None,
            };
            Line::of(system, vec![sample], None)
        };
        let now = Moment::now(&[]);
        let blocks = [1, 64].map(|clients| Block {
            clients,
            lines: [line("bare", 20_000), line("w3", 7000)]
                .into_iter()
                .flatten()
                .collect(),
            fsyncs: None,
            meanwhile: now.until(&now),
        });
        let svg = draw(&blocks, "made up")?;
        for text in ["made up", "bare", "w3", "appends a second", "clients", "64"] {
            assert!(svg.contains(text), "{text} is not in it");
        }
        // Each is in the picture and in the legend.
        for system in ["bare", "w3"] {
            let RGBColor(r, g, b) = colour(system);
            let line = format!("stroke=\"#{r:02X}{g:02X}{b:02X}\" stroke-width=\"2\"");
            assert_eq!(svg.matches(&line).count(), 2, "{system}");
        }
        assert!(draw(&[], "nothing").is_err());
        Ok(())
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!(thousands(0.0), "0");
        assert_eq!(thousands(20_000.0), "20 000");
        assert_eq!(thousands(1_234_567.0), "1 234 567");
    }
}
