//! Who calls, and what of others they may see and do.

use std::collections::BTreeSet;

use super::problem::Problem;
use crate::aws::unique_id;
use crate::code::Code;
use crate::record::Record;

/// The unique id of a user or role, without the name of a role's session. AWS has verified it.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller(String);

impl Caller {
    /// Of a `userId`, as AWS passes it: `AIDA…` of a user, and `AROA…:session` of a role.
    pub(super) fn of_user_id(user_id: &str) -> Option<Caller> {
        let id = unique_id(user_id);
        (!id.is_empty()).then(|| Caller(id.to_owned()))
    }

    pub(super) fn id(&self) -> &str {
        &self.0
    }
}

/// What a caller may see and do of what others handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// Nothing: a caller sees what it sent itself. The `operators`, by their unique ids, see and do everything.
    Caller {
        /// Unique ids of users and roles.
        operators: BTreeSet<String>,
    },
}

impl Scope {
    pub(super) fn is_operator(&self, caller: Option<&Caller>) -> bool {
        match self {
            Scope::All => true,
            Scope::Caller { operators } => caller.is_some_and(|caller| operators.contains(caller.id())),
        }
    }

    /// Whether a caller may see a record.
    pub(super) fn shows(&self, record: &Record, caller: Option<&Caller>) -> bool {
        let is_own =
            record.sender.as_deref().is_some_and(|sender| caller.is_some_and(|caller| caller.id() == sender));
        is_own || self.is_operator(caller)
    }

    /// Refuses what only an operator may do.
    pub(super) fn operates(&self, caller: Option<&Caller>) -> Result<(), Problem> {
        match self.is_operator(caller) {
            true => Ok(()),
            false => Err(Problem::new(
                Code::Forbidden,
                "this caller is not among the operators of the stack; call as one, or add its unique id to `ApiOperators`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::event_for;

    #[test]
    fn a_caller_sees_its_own_and_an_operator_everything() {
        let [own, other, operator] =
            ["AROA1:s", "AROA2:s", "AROA3:s"].map(|id| Caller::of_user_id(id).unwrap());
        let record = Record { sender: Some("AROA1".into()), ..event_for(&["a"]) };
        let emitted = event_for(&["a"]);
        let scope = Scope::Caller { operators: ["AROA3".to_owned()].into() };
        let sees = |scope: &Scope, caller| (scope.shows(&record, caller), scope.shows(&emitted, caller));
        assert_eq!(sees(&scope, Some(&own)), (true, false));
        assert_eq!(sees(&scope, Some(&other)), (false, false));
        assert_eq!(sees(&scope, None), (false, false));
        assert_eq!(sees(&scope, Some(&operator)), (true, true));
        assert_eq!(sees(&Scope::All, None), (true, true));
        assert!(scope.operates(Some(&operator)).is_ok() && scope.operates(Some(&own)).is_err());
        assert!(Scope::All.operates(Some(&other)).is_ok());
    }
}
