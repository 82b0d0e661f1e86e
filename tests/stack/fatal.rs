//! A destination that panics, hangs, blocks, exits and runs out of memory. This test deploys it beside the stack.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover::notification::encode;
use handover::record::{Dispatch, Status};
use handover::{Destination, Draft, Effect, Failure, Notification, NotificationKey, Routes};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::effects::{By, Tested, accepted};
use crate::world::{FUNCTIONS, World, dispatch, is_not_run, root, unique};

/// Longest wait until the mapping gave up the records that kill the function, in seconds.
const WAIT_SECONDS_MAX: u64 = 150;

/// Longest wait of a notification beside one that kills its function.
const NEIGHBOURS_WAIT_MAX: Duration = Duration::from_secs(120);

/// The path of a binary of the workspace, which is beside this test's.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().and_then(Path::parent).unwrap().join(name)
}

/// Deploys the faulty destination beside the stack, whose mappings are served already.
fn deploy() {
    let root = root();
    // The Python of the tools has the modules that the script needs.
    let mut add = Command::new(root.join(".local/venv/bin/python"));
    let add = add.arg(root.join("localstack/add-function")).arg("faulty").arg(built("faulty"));
    let output = add.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// What the destination under test does, for a notification of each kind.
struct Faulty {
    world: World,
    routes: Routes,
}

impl Faulty {
    /// Accepts a notification of which it does this.
    async fn accept(&self, does: &str) -> String {
        let id = unique(does);
        let outbox = self.world.outbox(&self.routes);
        let message = outbox.accept(Draft::event("work", "tests", &does).build(&id).unwrap()).unwrap();
        self.world.dynamodb.transact_write_items().transact_items(message.action()).send().await.unwrap();
        id
    }

    async fn accept_sound(&self, count: usize) -> Vec<String> {
        let mut sound = Vec::new();
        for _ in 0..count {
            sound.push(self.accept("work").await);
        }
        sound
    }

    /// Lets the stack's accept take what goes to the destination, as `OtherDestinations` of the core does, and sends one.
    async fn send(&self) {
        let _alone = FUNCTIONS.write().await;
        self.world.change_variable("accept", "DESTINATIONS", |names| format!("{names},faulty")).await;
        let with_route = |routes: &str| {
            let mut routes: Value = serde_json::from_str(routes).unwrap();
            routes["work"] = json!({ "kind": "event", "destinations": ["faulty"] });
            routes.to_string()
        };
        self.world.change_variable("accept", "ROUTES", with_route).await;
        let id = unique("sent");
        let event = Draft::event("work", "tests", &"work").build(&id).unwrap();
        self.world.send(&[String::from_utf8(encode(&event.into())).unwrap()]).await;
        self.world.until(&[id], Status::Done).await;
    }

    /// Waits until these are done, though others fail or kill the function.
    async fn done_in_time(&self, sound: &[String]) {
        let begun = Instant::now();
        self.world.until(sound, Status::Done).await;
        assert!(begun.elapsed() < NEIGHBOURS_WAIT_MAX, "they waited {:?}", begun.elapsed());
    }

    /// Waits for the first attempt, which failed with this error.
    async fn has_failed(&self, id: &str, error: &str) {
        let failed = self.world.record_when(id, |record| record.destinations["faulty"].attempts > 0).await;
        assert_eq!(failed.destinations["faulty"].failures["1"].error, error);
    }
}

/// G3, G8: a panic, a hang and a handler that blocks its thread are failed attempts of one notification. A record that
/// kills the function is isolated, retried and given up by the mapping. None keeps the other notifications from
/// being done, and what is dispatched again does not come back to the stream's batches.
#[tokio::test]
async fn g8_a_record_that_kills_the_function_does_not_delay_its_neighbours() {
    if is_not_run("tests/stack/fatal.rs: g8_a_record_that_kills_the_function_does_not_delay_its_neighbours") {
        return;
    }
    let routes = r#"{"work":{"kind":"event","destinations":["faulty"]}}"#.parse().unwrap();
    let faulty = Faulty { world: World::connect().await, routes };
    let world = &faulty.world;
    let (mut sound, mut faults) = (Vec::new(), Vec::new());
    for does in ["panic", "hang", "exit", "exhaust"] {
        sound.extend(faulty.accept_sound(8).await);
        faults.push(faulty.accept(does).await);
    }
    deploy();
    faulty.done_in_time(&sound).await;
    let (failing, killers) = faults.split_at(2);
    // Its environment is that of refund, with the time-out that infra/local.yaml sets.
    let late = "the handler took longer than 1 s (HANDLER_TIMEOUT_SECONDS)";
    for (id, error) in failing.iter().zip(["the handler panicked", late]) {
        faulty.has_failed(id, error).await;
    }

    // A function that is killed cannot count the attempt. The mapping gives the record up and reports it.
    let begun = Instant::now();
    let failures = world.queue_url("faulty-failures").await;
    let mut given_up = 0;
    while given_up < killers.len() {
        assert!(begun.elapsed().as_secs() < WAIT_SECONDS_MAX, "the mapping gave up {given_up} of 2");
        given_up += world.take(&failures, 1).await.len();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    for id in killers {
        let record = world.record(id).await.unwrap();
        assert_eq!((record.status, record.destinations["faulty"].attempts), (Status::Init, 0));
    }

    // Dispatched again, they come by the retry queue: the mapping of the stream has nothing to give up.
    for id in killers {
        world.ledger().dispatch_again(&NotificationKey::new(id, "tests"), Timestamp::now()).await.unwrap();
    }
    let sound = faulty.accept_sound(8).await;
    faulty.done_in_time(&sound).await;
    assert_eq!(world.take(&failures, 3).await.len(), 0);

    // On a busy machine the function may time out before it can tell of a handler that blocks.
    let mut sound = faulty.accept_sound(8).await;
    let blocks = faulty.accept("block").await;
    sound.extend(faulty.accept_sound(8).await);
    faulty.done_in_time(&sound).await;
    faulty.has_failed(&blocks, "the handler blocked its thread").await;
    // The process that has a blocked thread goes on.
    let later = faulty.accept_sound(8).await;
    faulty.done_in_time(&later).await;
    world.record_when(&blocks, |record| record.destinations["faulty"].attempts > 1).await;
    // It is in another stack, and what the core takes for it reaches it.
    faulty.send().await;
    // It has a schedule of its own.
    for id in failing {
        let dead = world.record_when(id, |record| record.status == Status::Dead).await;
        assert_eq!(dead.destinations["faulty"].attempts, 3, "{dead:?}");
    }
}

/// A handler that kills its function for one notification, as far as a test can: it says so, and never returns.
struct Kills {
    id: String,
    killed: Arc<Notify>,
}

impl Destination for Kills {
    type Data = Value;

    async fn apply(&self, notification: &Notification<Value>) -> Result<Effect, Failure> {
        if notification.id == self.id {
            self.killed.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(Effect::new())
    }
}

/// G8: what was dispatched again is not tried from the stream, and from the retry queue after all others: when it kills
/// the function, they are done.
#[tokio::test]
async fn g8_what_was_dispatched_again_is_tried_last_from_the_retry_queue() {
    let world = World::connect().await;
    let facts = accepted(&world, "fact", 4).await;
    let tested = Tested::new(&world, "audit").await;
    tested.deliver(By(|_: &Notification<Value>| Err(Failure::transient("not now"))), &facts[1..], 20).await;
    let again = Dispatch { redispatched: true, ..dispatch(facts[0].clone(), &["audit"]) };
    let not_called = By(|_: &Notification<Value>| panic!("it is tried from the retry queue"));
    tested.deliver_dispatches(not_called, [again].into_iter(), 20).await;
    assert_eq!(world.key_when(&facts[0].key(), |_| true).await.destinations["audit"].attempts, 0);

    tokio::time::sleep(Duration::from_secs(2)).await;
    let killed = Arc::new(Notify::new());
    let kills = Kills { id: facts[0].id.clone(), killed: killed.clone() };
    tokio::select! {
        () = tested.retry(kills) => panic!("the copy of the killer is not in the retry queue"),
        () = killed.notified() => (),
    }
    for fact in &facts[1..] {
        assert_eq!(world.key_when(&fact.key(), |_| true).await.status, Status::Done);
    }
}
