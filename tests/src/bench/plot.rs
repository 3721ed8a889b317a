//! A picture of the table: appends a second over clients, one line a system.

use anyhow::{Context, Result, anyhow, ensure};
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::prelude::*;

use super::Args;
use super::rounds::Block;

const SIZE: (u32, u32) = (900, 520);
/// Told apart by people who do not see all colours, too (Okabe and Ito).
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
        if args.disk { "on disk" } else { "in memory" }
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
        let points = lines.map(|(x, rate)| (x.log2(), rate.median, rate.min, rate.max));
        points.collect()
    };
    let mut systems: Vec<&str> = Vec::new();
    for line in blocks.iter().flat_map(|block| &block.lines) {
        if !systems.contains(&line.system) {
            systems.push(line.system);
        }
    }
    ensure!(!systems.is_empty(), "no appends were measured");
    let most = systems.iter().flat_map(|system| points(system));
    let most = most.map(|(_, _, _, max)| max).fold(1.0, f64::max);
    let clients = Clients(blocks.iter().map(|block| block.clients).collect());

    let root = backend.into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(82)
        .right_y_label_area_size(20)
        .build_cartesian_2d(clients, 0.0..most * 1.05)?;
    chart
        .configure_mesh()
        .x_desc("clients at the same time")
        .y_desc("appends a second")
        .x_label_formatter(&|x: &f64| format!("{:.0}", x.exp2()))
        .y_label_formatter(&|y: &f64| thousands(*y))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .label_style(("sans-serif", 14))
        .axis_desc_style(("sans-serif", 15))
        .draw()?;
    for (system, colour) in systems.iter().zip(COLOURS.iter().cycle()) {
        let points = points(system);
        let line = points.iter().map(|&(x, median, _, _)| (x, median));
        let series = LineSeries::new(line.clone(), colour.stroke_width(2));
        chart
            .draw_series(series)?
            .label(*system)
            .legend(|(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(2)));
        chart.draw_series(line.map(|point| Circle::new(point, 3, colour.filled())))?;
        chart.draw_series(points.iter().map(|&(x, _, min, max)| {
            PathElement::new([(x, min), (x, max)], colour.mix(0.6).stroke_width(1))
        }))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .legend_area_size(28)
        .background_style(WHITE.mix(0.85))
        .border_style(BLACK.mix(0.3))
        .label_font(("sans-serif", 14))
        .draw()?;
    root.present().context("the picture's end")
}

/// The numbers of clients, as powers of two, with a label at each that was measured.
struct Clients(Vec<usize>);

impl Ranged for Clients {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let std::ops::Range { start, end } = self.range();
        let share = (value - start) / (end - start);
        low + (share * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _hint: Hint) -> Vec<f64> {
        self.0
            .iter()
            .map(|&clients| (clients as f64).log2())
            .collect()
    }

    fn range(&self) -> std::ops::Range<f64> {
        let least = self.0.iter().min().copied().unwrap_or(1) as f64;
        let most = self.0.iter().max().copied().unwrap_or(1) as f64;
        least.log2() - 0.3..most.log2() + 0.3
    }
}

/// `1234567.0` as `1 234 567`.
fn thousands(number: f64) -> String {
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
    use super::{draw, thousands};
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
        // Two lines, their two samples in the legend, and a stroke at each point.
        assert!(svg.matches("<polyline").count() >= 8);
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
