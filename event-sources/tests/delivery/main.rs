//! Whatever the records, the settings and the answers: every record that passes the filter is
//! delivered until it is answered as succeeded, or handed to the on-failure destination when, and
//! only when, MaximumRetryAttempts or its age says so. None is skipped, delivered behind the
//! checkpoint, or overtaken within its key; and the same inputs give the same outputs.

mod scenario;
mod world;

use proptest::prelude::*;
use scenario::{Given, Poison, Scenario, scenario};
use world::{End, World};

proptest! {
    // The rules themselves are asserted by the world, step by step.
    #[test]
    fn every_record_is_delivered_or_given_up_by_the_rules(scenario in scenario()) {
        World::new(scenario).run();
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(scenario in scenario()) {
        let first = World::new(scenario.clone()).run();
        let second = World::new(scenario).run();
        prop_assert_eq!(first.history, second.history);
    }

    // Splits do not count as attempts: alone, a bad record still has all of its own.
    #[test]
    fn bisect_gives_up_bad_records_one_by_one_and_delivers_the_others(
        scenario in scenario(),
        most in 0_u32..4,
    ) {
        let world = World::new(Scenario {
            maximum_retry_attempts: Some(most),
            maximum_record_age_s: None,
            retention_s: 24 * 60 * 60,
            bisect_batch_on_function_error: true,
            poison: Poison::Fails,
            answers: Vec::new(),
            ..scenario
        });
        let world = world.run();
        for (record, seen) in world.scenario.records.iter().zip(&world.seen) {
            let Given { passes, bad, .. } = *record;
            let expected = match (passes, bad) {
                (false, _) => None,
                (true, false) => Some(End::Succeeded),
                (true, true) => Some(End::Discarded),
            };
            prop_assert_eq!(seen.end, expected);
            if passes && bad {
                prop_assert_eq!(seen.alone, most + 1);
            }
        }
    }
}
