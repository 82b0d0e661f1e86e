//! What the timings of order have to be.

use handover_soak::timing::order;

#[test]
fn a_key_catches_up_after_a_failed_attempt() {
    let catch_up = order::catch_up();
    assert!(catch_up.rate() >= 50, "{catch_up}");
}

/// With fewer keys than `make timing` has, in as long a time.
#[test]
fn a_key_that_hangs_holds_up_no_other() {
    let [alone, beside] = order::beside_a_hanging_key(100);
    assert!(beside.p50_ms <= 2 * alone.p50_ms && beside.p99_ms <= 2 * alone.p99_ms, "{alone}\n{beside}");
}
