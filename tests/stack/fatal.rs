//! A destination that panics, hangs, exits and runs out of memory. This test deploys it beside the stack.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use handover::record::Status;
use handover::{Draft, Routes};

use crate::world::{World, is_not_run, root, unique};

/// Longest wait until the mapping gave up the records that kill the function, in seconds.
const WAIT_SECONDS_MAX: u64 = 150;

/// A process that is killed when the test ends, also when it panics.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The path of a binary of the workspace, which is beside this test's.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

/// Deploys the faulty destination, and starts `event-sources` for its stream mapping where the local AWS's
/// own mapping is disabled.
async fn deploy(world: &World) -> (String, Option<Running>) {
    let root = root();
    // The Python of the tools has the modules that the script needs.
    let mut add = Command::new(root.join(".local/venv/bin/python"));
    let add = add.arg(root.join("localstack/add-function")).arg("faulty").arg(built("faulty"));
    let output = add.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let function = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    let driver = world.has_disabled_mapping(&function).await.then(|| {
        let mut driver = Command::new(built("event-sources"));
        let driver = driver.args(["--functions", &function, "--expect", "1"]);
        Running(driver.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    });
    (function, driver)
}

/// G3, G8: a panic and a hang of the handler are failed attempts of one notification. A record that kills the
/// function is isolated, retried and given up by the mapping. Neither keeps the other notifications from
/// being done.
#[tokio::test]
async fn g8_a_record_that_kills_the_function_does_not_delay_its_neighbours() {
    if is_not_run("tests/stack/fatal.rs: g8_a_record_that_kills_the_function_does_not_delay_its_neighbours") {
        return;
    }
    let world = World::connect().await;
    let routes: Routes = r#"{"work":{"kind":"event","destinations":["faulty"]}}"#.parse().unwrap();
    let outbox = world.outbox(&routes);
    let accept = async |does: &str| {
        let id = unique(does);
        let message = outbox.accept(Draft::event("work", "tests", &does).build(&id).unwrap()).unwrap();
        world.dynamodb.transact_write_items().transact_items(message.action()).send().await.unwrap();
        id
    };
    let mut sound = Vec::new();
    let mut faulty = Vec::new();
    for does in ["panic", "exit", "hang", "exhaust"] {
        for _ in 0..8 {
            sound.push(accept("work").await);
        }
        faulty.push(accept(does).await);
    }
    let (function, _driver) = deploy(&world).await;
    world.until(&sound, Status::Done).await;
    for (index, error) in [(0, "the handler panicked"), (2, "the handler took too long")] {
        let failed =
            world.record_when(&faulty[index], |record| record.destinations["faulty"].attempts > 0).await;
        assert_eq!(failed.destinations["faulty"].failures["1"].error, error);
    }

    // A function that is killed cannot count the attempt. The mapping gives the record up and reports it.
    let begun = Instant::now();
    let failures = world.sqs.get_queue_url().queue_name(format!("{function}-failures")).send().await.unwrap();
    let mut given_up = 0;
    while given_up < 2 {
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "the mapping gave up {given_up} of 2");
        given_up += world.take(failures.queue_url.as_deref().unwrap(), 1).await.len();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for index in [1, 3] {
        let record = world.record(&faulty[index]).await.unwrap();
        assert_eq!((record.status, record.destinations["faulty"].attempts), (Status::Init, 0));
    }
    assert_eq!(world.record_when(&faulty[0], |record| record.status == Status::Dead).await.dead, 1);
}
