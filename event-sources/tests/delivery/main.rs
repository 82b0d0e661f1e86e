//! For any records, settings and invocation outcomes: every record that passes the filters is
//! delivered until it succeeds, or goes to the on-failure destination when, and only when,
//! MaximumRetryAttempts or its age requires it. No record is skipped, delivered behind the checkpoint
//! or overtaken by a later one of its key. The same inputs give the same actions.

mod model;
mod scenario;

use model::{End, Model};
use proptest::prelude::*;
use scenario::{Given, Poison, Scenario, scenario};

proptest! {
    // The model asserts the rules at every step.
    #[test]
    fn every_record_is_delivered_or_given_up_by_the_rules(scenario in scenario()) {
        Model::new(scenario).run();
    }

    #[test]
    fn the_same_inputs_give_the_same_outputs(scenario in scenario()) {
        let first = Model::new(scenario.clone()).run();
        let second = Model::new(scenario).run();
        prop_assert_eq!(first.history, second.history);
    }

    // Splits do not count as attempts: by itself, a bad record still has all its attempts.
    #[test]
    fn bisect_gives_up_bad_records_one_by_one_and_delivers_the_others(
        scenario in scenario(),
        attempts_max in 0_u32..4,
    ) {
        let model = Model::new(Scenario {
            maximum_retry_attempts: Some(attempts_max),
            maximum_record_age_s: None,
            retention_s: 24 * 60 * 60,
            bisect_batch_on_function_error: true,
            poison: Poison::Fails,
            invocations: Vec::new(),
            ..scenario
        });
        let model = model.run();
        for (record, seen) in model.scenario.records.iter().zip(&model.seen) {
            let Given { passes, bad, .. } = *record;
            let expected = match (passes, bad) {
                (false, _) => None,
                (true, false) => Some(End::Succeeded),
                (true, true) => Some(End::Discarded),
            };
            prop_assert_eq!(seen.end, expected);
            if passes && bad {
                prop_assert_eq!(seen.alone, attempts_max + 1);
            }
        }
    }
}
