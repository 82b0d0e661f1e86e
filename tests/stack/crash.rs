//! Functions that are killed while they work.

use std::time::{Duration, Instant};

use handover::record::Status;

use crate::world::{FUNCTIONS, World, kill, refunds};

/// For how long functions are killed, in seconds.
const KILL_SECONDS: u64 = 8;

/// Functions are killed with SIGKILL while refunds pass through them: nothing is lost, and nothing is applied
/// twice (G1, G3, G4).
#[tokio::test]
async fn killed_functions_lose_nothing_and_apply_nothing_twice() {
    let world = World::connect().await;
    let _alone = FUNCTIONS.write().await;
    let account = world.account().await;
    let (ids, messages) = refunds(&account, 120);
    let killing = tokio::task::spawn_blocking({
        let functions = ["accept", "relay", "refund"].map(|name| world.named(name));
        move || {
            let begun = Instant::now();
            let mut killed = [0; 3];
            while begun.elapsed().as_secs() < KILL_SECONDS {
                for (function, count) in functions.iter().zip(&mut killed) {
                    *count += kill(function);
                    std::thread::sleep(Duration::from_millis(150));
                }
            }
            killed
        }
    });
    for messages in messages.chunks(10) {
        world.send(messages).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let killed = killing.await.unwrap();
    assert!(killed.iter().all(|count| *count > 0), "each function was killed at least once: {killed:?}");
    world.until(&ids, Status::Done).await;
    assert_eq!(world.balance(&account).await, 120);
    assert_eq!(world.entries(&account).await.len(), 120);
}
