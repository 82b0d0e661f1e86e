//! What the documents tell a reader to type at a local AWS, typed as printed. `tests/layout` checks that every
//! other shell block says why it is not run.

use std::process::Command;
use std::time::{Duration, Instant};

use handover::record::Status;

use crate::world::{World, root};

const DOCUMENTS: [&str; 2] = ["README.md", "docs/http.md"];
/// Longest time until a block succeeds, in seconds. What was sent is there a moment later, so a reader looks
/// again, too.
const BLOCK_SECONDS_MAX: u64 = 30;

#[tokio::test]
async fn every_shell_block_of_the_documents_runs_as_printed() {
    let world = World::connect().await;
    if world.named("accounts") != "handover-accounts" {
        println!("not run: the documents name the stack `handover`");
        return;
    }
    let folder = root().join("target/documents");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    for document in DOCUMENTS {
        let text = std::fs::read_to_string(root().join(document)).unwrap();
        let blocks: Vec<_> =
            text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```\n").next()).collect();
        assert!(!blocks.is_empty(), "{document}");
        for block in blocks {
            let begun = Instant::now();
            loop {
                let output = Command::new("bash")
                    .args(["-euo", "pipefail", "-c", block])
                    .current_dir(&folder)
                    .output();
                let output = output.unwrap();
                if output.status.success() {
                    break;
                }
                let errors = String::from_utf8_lossy(&output.stderr);
                assert!(begun.elapsed().as_secs() < BLOCK_SECONDS_MAX, "{document}\n{block}\n{errors}");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
    world.until(&["order-7-refund".to_owned()], Status::Done).await;
}
