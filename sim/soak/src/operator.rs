//! An operator who looks at dead letters and records while faults are injected.

use handover_sim::Stack;

/// Looks at a dead letter of some destination, or, where there is none, at a record.
pub async fn look_after(stack: &Stack, nth: u64) {
    stack.begin_operation();
    let draw = |end, what: u64| stack.draw_for_operator(end, what, nth);
    let mut destinations = stack.with_dead_letters();
    if destinations.is_empty() {
        destinations = stack.destinations();
    }
    let destination = &destinations[draw(destinations.len() as u64, 0) as usize];
    let dead_letter = stack.receive_dead_letter(destination);
    let key = dead_letter.as_ref().and_then(|dead_letter| dead_letter.notification());
    match (draw(4, 1), dead_letter, key) {
        (0, Some(dead_letter), _) => stack.move_to_retry_queue(destination, &dead_letter),
        (1 | 2, Some(dead_letter), Some(key)) => {
            let redriven = stack.redrive(destination, key, &dead_letter, None).await;
            stack.note("operator", &format!("redrives {}: {redriven:?}", dead_letter.id()));
        }
        (3, Some(_), Some(key)) => {
            let closed = stack.close(&key, destination).await;
            stack.note("operator", &format!("closes: {closed:?}"));
        }
        (action, None, _) if action < 2 => {
            let open = stack.open();
            if let Some(key) = open.get(draw(open.len().max(1) as u64, 2) as usize) {
                stack.dispatch_again(key.clone()).await;
            }
        }
        _ => (),
    }
}
