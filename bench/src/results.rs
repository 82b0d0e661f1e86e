//! The results as a page: what was measured, beside the goals, with a plot.

use std::fmt::Write;
use std::time::Duration;

use crate::measure::Figures;
use crate::variant::{Load, Program};

/// A goal, for the variant of this name: at most so much.
struct Goal {
    figure: &'static str,
    variant: &'static str,
    most: f64,
    of: fn(&Figures, Duration) -> f64,
}

const GOALS: [Goal; 14] = [
    goal("time of a batch of 100 ÷ latency", MARK_ONLY, 1.5, |it, latency| it.ratio(latency)),
    goal("the same", ONE_WRITE, 4.0, |it, latency| it.ratio(latency)),
    goal("the same", REFUND, 4.0, |it, latency| it.ratio(latency)),
    goal("DynamoDB calls a record", MARK_ONLY, 0.04, |it, _| it.calls_per_record),
    goal("time of a batch of 10 ÷ latency", ACCEPT, 1.3, |it, latency| it.ratio(latency)),
    goal("calls a notification", ACCEPT, 1.0, |it, _| it.calls_per_record),
    goal("instructions a record, thousands", MARK_ONLY, 60.0, |it, _| {
        it.instructions_per_record.unwrap_or(f64::NAN) / 1e3
    }),
    goal("CPU to the first `/next`, ms", MARK_ONLY, 5.0, |it, _| millis(it.ready_cpu)),
    goal("spawn to the first batch done, TLS, ms", MARK_ONLY, 20.0, |it, _| millis(it.first_batch)),
    goal("peak memory, MiB", MARK_ONLY, 10.0, |it, _| mebibytes(it.memory_max)),
    goal("peak memory, MiB", ONE_WRITE, 14.0, |it, _| mebibytes(it.memory_max)),
    goal("peak memory, MiB", REFUND, 14.0, |it, _| mebibytes(it.memory_max)),
    goal("order violations a batch", MARK_ONLY, 0.0, |it, _| it.violations as f64),
    goal("PutRecords calls a record", RELAY, 0.01, |it, _| it.calls_per_record),
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

/// What the machine and the programs were.
pub struct Setting {
    pub date: String,
    pub machine: String,
    pub versions: Vec<String>,
    pub apart: bool,
    pub latency: Duration,
}

/// The page.
pub fn page(setting: &Setting, all: &[Figures]) -> String {
    let mut page = String::from("# Results\n\nWritten by `make bench`; ");
    let _ = writeln!(page, "what the columns mean is in [README.md](README.md).\n");
    let apart = if setting.apart { "a processor of its own" } else { "the processor of the stubs, too" };
    let _ = writeln!(
        page,
        "{}, {}; the function measured has {apart}. A call to the stub takes {:.1} ms, of which 5 are injected.\n",
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
        page += &table(setting, all.iter().filter(|it| (it.variant.load == Load::Kinesis) == of_kinesis));
        page.push('\n');
    }
    let _ = writeln!(page, "## Goals\n\n| figure | of | measured | goal | |\n|---|---|---|---|---|");
    for goal in &GOALS {
        let Some(figures) = all.iter().find(|it| it.variant.name == goal.variant) else { continue };
        let measured = (goal.of)(figures, setting.latency);
        let verdict = if measured <= goal.most { "met" } else { "**not met**" };
        let Goal { figure, variant, most, .. } = goal;
        let _ = writeln!(page, "| {figure} | {variant} | {} | ≤ {most} | {verdict} |", short(measured));
    }
    page += "\nWhy a goal is not met is said in [README.md](README.md#goals-that-are-not-met).\n";
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
    for it in all {
        let instructions =
            it.instructions_per_record.map_or("–".to_owned(), |it| format!("{:.0} k", it / 1e3));
        let size = match it.variant.program {
            Program::Rust(_) | Program::Node(_) => format!("{:.1}", it.size as f64 / 1e6),
            Program::Python(_) => "–".to_owned(),
        };
        let cells = [
            it.variant.name.to_owned(),
            format!("**{}**", short(it.ratio(setting.latency))),
            short(millis(it.batch)),
            short(it.cpu_per_record.as_secs_f64() * 1e6),
            instructions,
            short(it.calls_per_record),
            short(it.writes_per_record),
            short(it.index_writes_per_record),
            it.violations.to_string(),
            it.connections.to_string(),
            format!("{} ({})", short(millis(it.ready)), short(millis(it.ready_cpu))),
            short(millis(it.first_batch)),
            short(mebibytes(it.memory_max)),
            size,
        ];
        let _ = writeln!(table, "| {} |", cells.join(" | "));
    }
    table
}

/// A bar for each destination, on a logarithmic scale.
pub fn plot(setting: &Setting, all: &[Figures]) -> String {
    let (left, width, row_height) = (280.0, 420.0, 26.0);
    let bars: Vec<_> = all.iter().filter(|it| it.variant.load == Load::Kinesis).collect();
    let height = row_height * bars.len() as f64 + 44.0;
    let at = |ratio: f64| ratio.max(1.0).log10() / 3.0 * width;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"8\" y=\"20\">Time of a batch of 100 over the latency of a call; a logarithmic scale, shorter is better</text>\n",
        left + width + 60.0
    );
    for (row, it) in bars.iter().enumerate() {
        let (y, ratio) = (36.0 + row_height * row as f64, it.ratio(setting.latency));
        let colour = if matches!(it.variant.program, Program::Rust(_)) { "#1f6f8b" } else { "#b0b7bd" };
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{left}\" y=\"{y}\" width=\"{:.1}\" height=\"18\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{}</text>",
            left - 8.0,
            y + 14.0,
            it.variant.name,
            at(ratio).max(1.0),
            left + at(ratio) + 6.0,
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

/// With as many digits as say something.
pub fn short(figure: f64) -> String {
    match figure {
        0.0 => "0".to_owned(),
        it if it >= 100.0 => format!("{it:.0}"),
        it if it >= 10.0 => format!("{it:.1}"),
        it if it.fract() == 0.0 => format!("{it:.0}"),
        it => format!("{it:.2}"),
    }
}
