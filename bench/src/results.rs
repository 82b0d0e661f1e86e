//! The page of results: figures, goals and a plot.

use std::fmt::Write;
use std::time::Duration;

use crate::measure::Figures;
use crate::variant::{Load, Program};

/// A goal: the most that a figure of the variant with this name may be.
struct Goal {
    figure: &'static str,
    variant: &'static str,
    most: f64,
    of: fn(&Figures, Duration) -> f64,
}

const GOALS: [Goal; 14] = [
    goal("time of a batch of 100 ÷ latency", MARK_ONLY, 1.5, |figures, latency| figures.ratio(latency)),
    goal("the same", ONE_WRITE, 4.0, |figures, latency| figures.ratio(latency)),
    goal("the same", REFUND, 4.0, |figures, latency| figures.ratio(latency)),
    goal("DynamoDB calls a record", MARK_ONLY, 0.04, |figures, _| figures.calls_per_record),
    goal("time of a batch of 10 ÷ latency", ACCEPT, 1.3, |figures, latency| figures.ratio(latency)),
    goal("calls a notification", ACCEPT, 1.0, |figures, _| figures.calls_per_record),
    goal("instructions a record, thousands", MARK_ONLY, 60.0, |figures, _| {
        figures.instructions_per_record.unwrap_or(f64::NAN) / 1e3
    }),
    goal("CPU to the first `/next`, ms", MARK_ONLY, 5.0, |figures, _| millis(figures.ready_cpu)),
    goal("spawn to the first batch done, TLS, ms", MARK_ONLY, 20.0, |figures, _| millis(figures.first_batch)),
    goal("peak memory, MiB", MARK_ONLY, 10.0, |figures, _| mebibytes(figures.memory_max)),
    goal("peak memory, MiB", ONE_WRITE, 14.0, |figures, _| mebibytes(figures.memory_max)),
    goal("peak memory, MiB", REFUND, 14.0, |figures, _| mebibytes(figures.memory_max)),
    goal("order violations a batch", MARK_ONLY, 0.0, |figures, _| figures.violations as f64),
    goal("PutRecords calls a record", RELAY, 0.01, |figures, _| figures.calls_per_record),
];

const MARK_ONLY: &str = "mark only";
const ONE_WRITE: &str = "one write in the transaction";
const REFUND: &str = "refund: two writes in the transaction";
const ACCEPT: &str = "accept";
const RELAY: &str = "relay";

const fn goal(
    figure: &'static str,
    variant: &'static str,
    most: f64,
    of: fn(&Figures, Duration) -> f64,
) -> Goal {
    Goal { figure, variant, most, of }
}

/// The machine and the programs.
pub struct Setting {
    pub date: String,
    pub machine: String,
    pub versions: Vec<String>,
    pub apart: bool,
    pub latency: Duration,
}

/// The page of results in Markdown.
pub fn page(setting: &Setting, all: &[Figures]) -> String {
    let mut page = String::from("# Results\n\nWritten by `make bench`; ");
    let _ = writeln!(page, "[README.md](README.md) explains the columns.\n");
    let apart =
        if setting.apart { "has a processor of its own" } else { "shares a processor with the stubs" };
    let _ = writeln!(
        page,
        "{}, {}; the measured function {apart}. A call to the stub takes {:.1} ms, of which 5 are injected.\n",
        setting.date,
        setting.machine,
        millis(setting.latency)
    );
    let _ = writeln!(
        page,
        "{}.\n\n![Time of a batch over the latency of a call](results.svg)\n",
        setting.versions.join(", ")
    );
    for (title, of_kinesis) in
        [("Destinations: a batch of 100", true), ("Accept, a batch of 10; relay, a batch of 100", false)]
    {
        let _ = writeln!(page, "## {title}\n");
        page += &table(
            setting,
            all.iter().filter(|figures| (figures.variant.load == Load::Kinesis) == of_kinesis),
        );
        page.push('\n');
    }
    let _ = writeln!(page, "## Goals\n\n| figure | of | measured | goal | |\n|---|---|---|---|---|");
    for goal in &GOALS {
        let Some(figures) = all.iter().find(|figures| figures.variant.name == goal.variant) else { continue };
        let measured = (goal.of)(figures, setting.latency);
        let verdict = if measured <= goal.most { "met" } else { "**not met**" };
        let Goal { figure, variant, most, .. } = goal;
        let _ = writeln!(page, "| {figure} | {variant} | {} | ≤ {most} | {verdict} |", short(measured));
    }
    page += "\n[README.md](README.md#goals-that-are-not-met) says why a goal is not met.\n";
    page
}

fn table<'a>(setting: &Setting, all: impl Iterator<Item = &'a Figures>) -> String {
    let columns = [
        "",
        "time ÷ latency",
        "ms a batch",
        "CPU µs a record",
        "instructions a record",
        "calls a record",
        "write units a record",
        "+ index",
        "order violations a batch",
        "connections",
        "ready, ms (CPU)",
        "first batch, TLS, ms",
        "MiB",
        "size, MB",
    ];
    let mut table = format!("| {} |\n|{}\n", columns.join(" | "), "---|".repeat(columns.len()));
    for figures in all {
        let instructions = figures
            .instructions_per_record
            .map_or("–".to_owned(), |instructions| format!("{:.0} k", instructions / 1e3));
        let size = match figures.variant.program {
            Program::Rust(_) | Program::Node(_) => format!("{:.1}", figures.size as f64 / 1e6),
            Program::Python(_) => "–".to_owned(),
        };
        let cells = [
            figures.variant.name.to_owned(),
            format!("**{}**", short(figures.ratio(setting.latency))),
            short(millis(figures.batch)),
            short(figures.cpu_per_record.as_secs_f64() * 1e6),
            instructions,
            short(figures.calls_per_record),
            short(figures.writes_per_record),
            short(figures.index_writes_per_record),
            figures.violations.to_string(),
            figures.connections.to_string(),
            format!("{} ({})", short(millis(figures.ready)), short(millis(figures.ready_cpu))),
            short(millis(figures.first_batch)),
            short(mebibytes(figures.memory_max)),
            size,
        ];
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

/// A plot with a bar for each destination, on a logarithmic scale.
pub fn plot(setting: &Setting, all: &[Figures]) -> String {
    let (left, width, row_height) = (280.0, 420.0, 26.0);
    let bars: Vec<_> = all.iter().filter(|figures| figures.variant.load == Load::Kinesis).collect();
    let height = row_height * bars.len() as f64 + 44.0;
    let length = |ratio: f64| ratio.max(1.0).log10() / 3.0 * width;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"8\" y=\"20\">Time of a batch of 100 over the latency of a call; a logarithmic scale, shorter is better</text>\n",
        left + width + 60.0
    );
    for (row, figures) in bars.iter().enumerate() {
        let (y, ratio) = (36.0 + row_height * row as f64, figures.ratio(setting.latency));
        let colour = if matches!(figures.variant.program, Program::Rust(_)) { "#1f6f8b" } else { "#b0b7bd" };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{left}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            left - 8.0,
            y + 14.0,
            figures.variant.name,
            length(ratio).max(1.0),
            left + length(ratio) + 6.0,
            y + 14.0,
            short(ratio)
        );
    }
    svg + "</svg>\n"
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// A figure with its significant digits.
pub fn short(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        100.0.. => format!("{figure:.0}"),
        10.0.. => format!("{figure:.1}"),
        _ if figure.fract() == 0.0 => format!("{figure:.0}"),
        _ => format!("{figure:.2}"),
    }
}
