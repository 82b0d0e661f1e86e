//! IAM.

use serde_json::json;

use crate::world::World;

pub async fn a_call_that_the_role_does_not_allow_is_refused(world: &World) {
    let queue = world.queue(30).await;
    let answer = world.invoke(world.function().await, &json!({ "purge": queue.url })).await;
    assert!(answer["error"].as_str().is_some_and(|code| code.starts_with("AccessDenied")), "{answer}");
}
