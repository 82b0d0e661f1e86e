//! The queues of the function `queue`.

use handover::Error;

/// The destinations, each with the URL of its queue: `NAME=URL`, with commas between.
///
/// # Errors
/// When one is not of that form, or there is none.
pub fn named_queues(text: &str) -> Result<Vec<(String, String)>, Error> {
    let named = |pair: &str| match pair.trim().split_once('=') {
        Some((name, url)) if !name.is_empty() && url.starts_with("http") => {
            Ok((name.trim().to_owned(), url.trim().to_owned()))
        }
        _ => Err(Error::Invalid {
            name: "QUEUES".into(),
            problem: format!(
                "has `{pair}`, which is not a destination and the URL of its queue, as in `books=https://sqs…`"
            ),
        }),
    };
    text.split(',').map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_destination_has_a_queue() {
        let owned = |name: &str, url: &str| (name.to_owned(), url.to_owned());
        let two =
            named_queues("books=https://sqs.example/1/books, crm=http://127.0.0.1:1/0/crm.fifo").unwrap();
        let expected =
            [owned("books", "https://sqs.example/1/books"), owned("crm", "http://127.0.0.1:1/0/crm.fifo")];
        assert_eq!(two, expected);
        for text in
            ["", "books", "books=", "=https://sqs.example", "books=books", "books=https://sqs.example,"]
        {
            assert!(named_queues(text).unwrap_err().to_string().contains("QUEUES has `"), "{text}");
        }
    }
}
