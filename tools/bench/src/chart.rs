//! The chart: bars for the speed of each sender and for its cost per push.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::figures::{Row, Sample};

/// Width of the drawing, in pixels.
const WIDTH: u32 = 960;

/// The height of a bar including the space between bars, in pixels.
const BAR: i32 = 26;

/// The height of a panel's heading and of the space below its bars, in pixels.
const HEADING: i32 = 44;

/// The left end of bars. The names are left of it.
const LEFT: i32 = 190;

/// The right end of the longest bar. Its figure is right of it.
const RIGHT: i32 = 840;

/// The background: white, so that the chart is readable on a dark page too.
const PAPER: RGBColor = WHITE;

/// The color of apns-edge's bars, and that of the others.
const OURS: RGBColor = RGBColor(0xf3, 0x80, 0x20);
const THEIRS: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);

/// The heading, unit and figure of a panel.
type Panel = (&'static str, fn(&Sample) -> f64);

/// The panels per latency.
const PANELS: [Panel; 2] = [
    ("pushes a second (more is better)", |sample| sample.pushes_per_s),
    (
        "microseconds of processor time a push (less is better)",
        |sample| sample.cpu_us,
    ),
];

/// Draws the medians as an SVG file.
pub(crate) fn draw(rows: &[Row], file: &Path) -> Result<()> {
    let mut latencies: Vec<u64> = rows.iter().map(|row| row.latency_ms).collect();
    latencies.dedup();
    let mut panels = Vec::new();
    for (title, figure) in PANELS {
        for latency in &latencies {
            let rows: Vec<&Row> = rows.iter().filter(|row| row.latency_ms == *latency).collect();
            panels.push((
                format!("{title}, server answers after {latency} ms"),
                figure,
                rows,
            ));
        }
    }
    let height = |rows: &[&Row]| HEADING + BAR * i32::try_from(rows.len()).unwrap_or(i32::MAX);
    let total: i32 = panels.iter().map(|(_, _, rows)| height(rows)).sum();
    let root = SVGBackend::new(file, (WIDTH, u32::try_from(total)?)).into_drawing_area();
    let drawn = (|| {
        root.fill(&PAPER)?;
        let mut top = 0;
        for (title, figure, rows) in &panels {
            panel(&root, top, title, rows, *figure)?;
            top += height(rows);
        }
        root.present()
    })();
    drawn.map_err(|error: DrawingAreaErrorKind<std::io::Error>| {
        anyhow!("{} cannot be drawn: {error}", file.display())
    })
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn panel(
    area: &Area<'_>,
    top: i32,
    title: &str,
    rows: &[&Row],
    figure: fn(&Sample) -> f64,
) -> Result<(), DrawingAreaErrorKind<std::io::Error>> {
    let text = |size, style, align| {
        let font = ("sans-serif", size, style).into_font();
        font.color(&BLACK).pos(Pos::new(align, VPos::Center))
    };
    let heading = text(16, FontStyle::Bold, HPos::Left);
    area.draw(&Text::new(title.to_owned(), (LEFT, top + HEADING / 2), heading))?;
    let medians: Vec<f64> = rows.iter().map(|row| row.spread(figure).median).collect();
    let largest = medians.iter().copied().fold(0.0, f64::max);
    for ((row, median), number) in rows.iter().zip(&medians).zip(0..) {
        let (above, below) = (
            top + HEADING + number * BAR,
            top + HEADING + number * BAR + BAR - 6,
        );
        let (middle, right) = (i32::midpoint(above, below), end(*median, largest));
        let color = if row.sender.transport().is_some() {
            OURS
        } else {
            THEIRS
        };
        area.draw(&Rectangle::new([(LEFT, above), (right, below)], color.filled()))?;
        area.draw(&Text::new(
            row.sender.name(),
            (LEFT - 8, middle),
            text(14, FontStyle::Normal, HPos::Right),
        ))?;
        area.draw(&Text::new(
            rounded(*median),
            (right + 6, middle),
            text(14, FontStyle::Normal, HPos::Left),
        ))?;
    }
    Ok(())
}

/// Returns the end of a bar, whose length is proportional to the figure.
#[expect(
    clippy::cast_possible_truncation,
    reason = "between the two ends, which are small"
)]
fn end(figure: f64, largest: f64) -> i32 {
    let part = figure.max(0.0) / largest.max(f64::MIN_POSITIVE);
    LEFT + (part * f64::from(RIGHT - LEFT)).round() as i32
}

/// Rounds to three digits.
fn rounded(figure: f64) -> String {
    if figure >= 100.0 {
        let text = format!("{figure:.0}");
        let (head, tail) = text.split_at(text.len().saturating_sub(3));
        return if head.is_empty() {
            tail.to_owned()
        } else {
            format!("{head},{tail}")
        };
    }
    format!("{figure:.1}")
}

#[cfg(test)]
mod tests {
    use super::{LEFT, RIGHT, draw, end, rounded};
    use crate::figures::{Row, Sample};
    use crate::sender::Sender;

    fn row(sender: Sender, latency_ms: u64, pushes_per_s: f64) -> Row {
        let sample = Sample {
            pushes_per_s,
            cpu_us: 20.0,
            peak_mb: 1.0,
            first_ms: 1.0,
            p50_ms: 1.0,
            p99_ms: 1.0,
            connections: 1.0,
            server_share: 0.1,
        };
        Row {
            sender,
            latency_ms,
            pushes: 1,
            samples: vec![sample],
        }
    }

    #[test]
    fn every_row_has_a_bar_with_its_figure_in_both_panels() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chart.svg");
        let rows = [
            row(Sender::Fetch, 0, 4700.0),
            row(Sender::A2, 0, 31_234.0),
            row(Sender::A2, 50, 17_000.0),
        ];
        draw(&rows, &file).unwrap();
        let svg = std::fs::read_to_string(file).unwrap();
        assert_eq!(svg.matches("apns-edge fetch").count(), 2);
        assert_eq!(svg.matches("31,234").count(), 1);
        // The background and a bar for each row and panel.
        assert_eq!(svg.matches("<rect").count(), 1 + 2 * rows.len());
    }

    #[test]
    fn a_bar_is_as_long_as_its_figure_is_large() {
        assert_eq!(end(17_000.0, 17_000.0), RIGHT);
        assert_eq!(end(8500.0, 17_000.0), i32::midpoint(LEFT, RIGHT));
        assert_eq!(end(0.0, 17_000.0), LEFT);
        assert_eq!(end(0.0, 0.0), LEFT);
    }

    #[test]
    fn figures_are_rounded_for_reading() {
        assert_eq!(rounded(16_999.6), "17,000");
        assert_eq!(rounded(113.2), "113");
        assert_eq!(rounded(15.55), "15.6");
    }
}
