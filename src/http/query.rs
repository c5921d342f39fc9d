//! Splits a query into its parameters, as sent.

/// Every parameter of a query as (name, whole parameter), in the order sent.
///
/// Nothing is decoded. The whole parameters joined by `&` are the query again, so empty ones come too.
pub fn parameters(query: Option<&str>) -> impl Iterator<Item = (&str, &str)> {
    query.into_iter().flat_map(|query| query.split('&')).map(|whole| (name(whole), whole))
}

/// The value of a whole parameter: what follows its first `=`, or nothing.
pub fn value(whole: &str) -> &str {
    whole.get(name(whole).len() + 1..).unwrap_or("")
}

fn name(whole: &str) -> &str {
    memchr::memchr(b'=', whole.as_bytes()).map_or(whole, |at| &whole[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(query: &str) -> Vec<(&str, &str, &str)> {
        parameters(Some(query)).map(|(name, whole)| (name, whole, value(whole))).collect()
    }

    #[test]
    fn parameters_are_split_and_not_decoded() {
        assert_eq!(of("a=1&b&c=x=y"), [("a", "a=1", "1"), ("b", "b", ""), ("c", "c=x=y", "x=y")]);
        assert_eq!(of("%61=%20"), [("%61", "%61=%20", "%20")]);
        assert_eq!(of("a;b=1"), [("a;b", "a;b=1", "1")]);
        assert_eq!(parameters(None).count(), 0);
    }

    proptest! {
        #[test]
        fn the_parameters_joined_are_the_query(query in "[a=&é]{0,12}") {
            let wholes: Vec<&str> = parameters(Some(&query)).map(|(_, whole)| whole).collect();
            prop_assert_eq!(wholes.join("&"), query.clone());
            for (name, whole) in parameters(Some(&query)) {
                let joined = format!("{name}={}", value(whole));
                prop_assert!(whole == name || whole == joined);
            }
        }
    }
}
