//! The cost of a million notifications in dollars: units that the stub counted, times list prices.

use std::convert::identity;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::events::{BATCH, MESSAGES};
use crate::measure::LATENCY;
use crate::stub::Behaviour;
use crate::variant::{OURS, PEERS, Places, Running, Variant};

/// Memory of every function, in GB, as the template has it.
const MEMORY_GB: f64 = 0.25;

#[derive(Deserialize)]
struct Prices {
    date: String,
    region: String,
    dynamodb: DynamoDb,
    kinesis: Kinesis,
    lambda: Lambda,
    sqs: Requests,
    pipes: Requests,
    step_functions: StepFunctions,
}

#[derive(Deserialize)]
struct DynamoDb {
    write_unit_million: f64,
    read_unit_million: f64,
}

#[derive(Deserialize)]
struct Kinesis {
    put_unit_million: f64,
    shard_hour: f64,
}

#[derive(Deserialize)]
struct Lambda {
    request_million: f64,
    gb_second: f64,
}

#[derive(Deserialize)]
struct Requests {
    request_million: f64,
}

#[derive(Deserialize)]
struct StepFunctions {
    transition_million: f64,
}

/// The sizes of events whose units are shown, in KiB.
const SIZES_KIB: [usize; 5] = [1, 4, 16, 64, 256];

/// The units that a stage uses for a notification.
#[derive(Clone, Copy, Default)]
struct Use {
    writes: f64,
    index_writes: f64,
    reads: f64,
    put_units: f64,
    invocations: f64,
    seconds: f64,
}

/// One part of a design's price.
struct Line {
    what: String,
    dollars: f64,
}

/// Prints the price of each design and its parts.
pub async fn run(places: &Places, prices: &Path) -> Result<()> {
    let prices: Prices = toml::from_str(&std::fs::read_to_string(prices)?)?;
    eprintln!("Counting what each stage uses, at a latency of {} ms a call", LATENCY.as_millis());
    let named = |name: &str| {
        let found = OURS.iter().chain(&PEERS).find(|variant| variant.name == name);
        found.copied().with_context(|| format!("no variant `{name}`"))
    };
    let accept = used(named("accept")?, places).await?;
    let relay = used(named("relay")?, places).await?;
    let plain_accept = Use { index_writes: 0.0, ..accept };
    println!(
        "Dollars for a million notifications of 1 KB and less, full batches; list prices of {} in {}.",
        prices.date, prices.region
    );
    let marked = used(named("mark only")?, places).await?;
    let stored = used(named("stored effect")?, places).await?;
    let one_write = used(named("one write in the transaction")?, places).await?;
    let refund = used(named("refund: two writes in the transaction")?, places).await?;
    for (title, consume, goal) in [
        ("Handover, mark only", marked, Some(2.00)),
        ("Handover, a stored effect", stored, Some(2.00)),
        ("Handover, one effect item in the transaction", one_write, Some(3.90)),
        ("Handover, refund: two effect items in the transaction", refund, None),
    ] {
        let stages = [("accept", accept), ("relay", relay), ("destination", consume)];
        let total = print(title, lines(&prices, &stages));
        if let Some(goal) = goal {
            let verdict = if total <= goal { "met" } else { "not met" };
            println!("  The goal, ${goal:.2} at most, is {verdict}.");
        }
    }
    by_size(places, &prices).await?;
    println!("\nAlternatives to its parts, all without a backstop like reconcile:");
    for (peer, claims) in [
        ("by hand, Python", false),
        ("by hand, Node", false),
        ("Powertools for Python", true),
        ("Powertools for TypeScript, parallel", true),
    ] {
        let consume = used(named(peer)?, places).await?;
        print(peer, lines(&prices, &[("accept", plain_accept), ("relay", relay), ("destination", consume)]));
        if !claims {
            continue;
        }
        // The handler's own write, in addition to the claim, the mark and the completion.
        let effect = Use { writes: consume.writes + 1.0, ..consume };
        let stages = [("accept", plain_accept), ("relay", relay), ("destination", effect)];
        print(&format!("{peer}, with an effect of one item"), lines(&prices, &stages));
    }
    let mut pipes = lines(&prices, &[("accept", plain_accept), ("destination", marked)]);
    pipes.push(line("Pipes, a request a record", 1.0, prices.pipes.request_million, "request"));
    pipes.push(line("Kinesis", relay.put_units, prices.kinesis.put_unit_million, "put unit"));
    print("EventBridge Pipes as relay", pipes);
    let mut steps = lines(&prices, &[("accept", plain_accept)]);
    steps.push(line("Step Functions, standard", 2.0, prices.step_functions.transition_million, "transition"));
    print("Step Functions, two transitions in place of relay and destination", steps);

    println!("\nNot included:");
    let sqs = 1.0 + 2.0 / MESSAGES as f64;
    let upstream = line(
        "upstream queue: a send, a tenth of a receive and of a delete",
        sqs,
        prices.sqs.request_million,
        "request",
    );
    println!("  {} = ${:.2}", upstream.what, upstream.dollars);
    println!(
        "  a Kinesis shard, which takes 1,000 records a second: ${} an hour, ${:.2} in 30 days",
        prices.kinesis.shard_hour,
        prices.kinesis.shard_hour * 24.0 * 30.0
    );
    println!("  storage, logs, alarms, data transfer, and what an account has free");
    Ok(())
}

/// Prints the units of events by their size, and the dollars of these units alone.
async fn by_size(places: &Places, prices: &Prices) -> Result<()> {
    println!(
        "\nBy the size of the event: units of a notification, and dollars for a million of these units alone,"
    );
    println!("at one destination and at ten, whose effect is only the mark, or one item in the transaction.");
    println!("   event  accept  + index  Kinesis  mark  transaction │ 1 mark  10 marks  1 trans.  10 trans.");
    for kib in SIZES_KIB {
        let sized = async |name: &str| {
            let variant = OURS.iter().find(|variant| variant.name == name).context("one of ours")?;
            used(Variant { event_bytes: kib * 1024, ..*variant }, places).await
        };
        let (accept, relay) = (sized("accept").await?, sized("relay").await?);
        let (mark, write) = (sized("mark only").await?, sized("one write in the transaction").await?);
        let dollars = |destinations: f64, effect: Use| {
            let writes = accept.writes + accept.index_writes + destinations * effect.writes;
            writes * prices.dynamodb.write_unit_million + relay.put_units * prices.kinesis.put_unit_million
        };
        println!(
            "{kib:>4} KiB {:>7} {:>8} {:>8} {:>5} {:>12} │ {:>6.2} {:>9.2} {:>9.2} {:>10.2}",
            accept.writes,
            accept.index_writes,
            relay.put_units,
            mark.writes,
            write.writes,
            dollars(1.0, mark),
            dollars(10.0, mark),
            dollars(1.0, write),
            dollars(10.0, write),
        );
    }
    Ok(())
}

/// The units that a stage uses for each record, counted over some batches.
async fn used(variant: Variant, places: &Places) -> Result<Use> {
    const BATCHES: usize = 4;
    let behaviour = Behaviour { latency: LATENCY, ..Behaviour::default() };
    let mut running = Running::start(variant, places, &behaviour, identity).await?;
    running.batch().await?;
    running.stub.state().reset();
    let mut seconds = 0.0;
    for _ in 0..BATCHES {
        seconds += running.batch().await?.time.as_secs_f64();
    }
    let state = running.stub.state();
    let records = (BATCHES * variant.load.batch()) as f64;
    Ok(Use {
        writes: state.dynamodb.units.writes / records,
        index_writes: state.dynamodb.units.index_writes / records,
        reads: state.dynamodb.units.reads / records,
        put_units: state.put_units as f64 / records,
        invocations: BATCHES as f64 / records,
        seconds: seconds / records,
    })
}

fn lines(prices: &Prices, stages: &[(&str, Use)]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (stage, used) in stages {
        let Prices { dynamodb, kinesis, lambda, .. } = prices;
        lines.push(line(&format!("{stage}: items"), used.writes, dynamodb.write_unit_million, "write unit"));
        lines.push(line(
            &format!("{stage}: reconcile's index"),
            used.index_writes,
            dynamodb.write_unit_million,
            "write unit",
        ));
        lines.push(line(&format!("{stage}: reads"), used.reads, dynamodb.read_unit_million, "read unit"));
        lines.push(line(&format!("{stage}: Kinesis"), used.put_units, kinesis.put_unit_million, "put unit"));
        lines.push(line(
            &format!("{stage}: Lambda, requests"),
            used.invocations,
            lambda.request_million,
            "request",
        ));
        let gb_seconds = used.seconds * MEMORY_GB;
        lines.push(line(&format!("{stage}: Lambda, time"), gb_seconds, lambda.gb_second * 1e6, "GB-second"));
    }
    lines.retain(|line| line.dollars > 0.0);
    lines
}

fn line(what: &str, units: f64, million: f64, unit: &str) -> Line {
    Line { what: format!("{what}: {units:.6} {unit}s × ${million:.3} a million"), dollars: units * million }
}

/// Prints a design's price and its parts. Returns the price.
fn print(title: &str, lines: Vec<Line>) -> f64 {
    let total: f64 = lines.iter().map(|line| line.dollars).sum();
    println!("\n{title}: ${total:.2}");
    for Line { what, dollars } in lines {
        println!("  {what:80} = ${dollars:.4}");
    }
    total
}

/// The texts above name these batch sizes.
const _: () = assert!(BATCH == 100 && MESSAGES == 10);
