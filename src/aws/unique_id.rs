//! The unique ids of users and roles.

/// The unique id in what AWS says of a caller, without the name of a role's session. What else has a colon is a whole: a
/// federated user, `ACCOUNT:NAME`, is not the root user, `ACCOUNT`.
///
/// Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable>.
pub(crate) fn unique_id(user_id: &str) -> &str {
    match user_id.split_once(':') {
        Some((role, _)) if role.starts_with("AROA") => role,
        _ => user_id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_its_role_and_a_federated_user_is_not_root() {
        for (user_id, unique) in [
            ("AROA7:refunds", "AROA7"),
            ("AIDA7", "AIDA7"),
            ("123456789012", "123456789012"),
            ("123456789012:bob", "123456789012:bob"),
        ] {
            assert_eq!(unique_id(user_id), unique);
        }
    }
}
