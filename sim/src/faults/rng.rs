//! Numbers from a seed.
//!
//! Each is a hash of what it is for. A number does not depend on those drawn before it, so a run from
//! which something is left out keeps the faults of what is left.

/// What a number is drawn for, so that no two share one.
#[derive(Clone, Copy)]
pub enum Purpose {
    Fault = 1,
    WayThere,
    WayBack,
    Part,
    Lag,
    Injection,
    Fetch,
    Receive,
    Send,
    Operator,
    Outage,
    GiveUp,
    Backoff,
    Provider,
    Rest,
    Denied,
    Release,
    HeldUp,
    Delay,
    InFlight,
    IndexLag,
    Instance,
    Expiry,
    Held,
    QueueUrl,
    Tuning,
}

/// A number for this purpose, the same for the same seed.
pub fn draw(seed: u64, purpose: &[u64]) -> u64 {
    purpose.iter().fold(mix(seed), |hash, word| mix(hash ^ word.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}

/// A number below `end`, which is not 0.
pub fn below(end: u64, seed: u64, purpose: &[u64]) -> u64 {
    draw(seed, purpose) % end
}

/// Whether something happens that has this probability, in thousandths.
pub fn happens(per_mille: u64, seed: u64, purpose: &[u64]) -> bool {
    below(1_000, seed, purpose) < per_mille
}

/// A number for a name, the same in every run.
pub fn of_name(name: &str) -> u64 {
    name.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
}

/// The finalizer of SplitMix64: <https://prng.di.unimi.it/splitmix64.c> (public domain).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_and_purpose_alone() {
        assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
        assert_ne!(draw(1, &[2, 3]), draw(1, &[3, 2]));
        assert_ne!(draw(1, &[2, 3]), draw(2, &[2, 3]));
    }

    #[test]
    fn events_occur_as_often_as_their_probability_says() {
        let times = (0..100_000).filter(|at| happens(250, 7, &[*at])).count();
        assert!((24_000..26_000).contains(&times), "{times}");
    }
}
