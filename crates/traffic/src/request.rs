//! What of a request is looked at, and how its cookies are read.

use std::net::IpAddr;

use http::header::COOKIE;
use http::{HeaderMap, Method};

/// A request, as far as it may decide who gets it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path without the query, as it was sent: nothing is decoded, and `.` and `..` stay.
    pub path: &'a str,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Where it came from.
    pub client: IpAddr,
}

impl<'a> Request<'a> {
    /// The values of the cookies of this name, as they were sent, quotes included.
    ///
    /// Read as RFC 6265 has it: pairs between semicolons, a name up to the first `=`, white space around both dropped, names
    /// told apart by case. What is no pair is passed over.
    pub(crate) fn cookies<'n>(self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let pairs = self.headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        pairs.filter_map(move |pair| {
            let equals = pair.iter().position(|byte| *byte == b'=')?;
            (pair[..equals].trim_ascii() == name.as_bytes()).then(|| pair[equals + 1..].trim_ascii())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use http::HeaderValue;

    use super::*;

    fn cookies(fields: &[&'static str], name: &str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(COOKIE, HeaderValue::from_static(field));
        }
        let client = Ipv4Addr::LOCALHOST.into();
        let request = Request { method: &Method::GET, path: "/", headers: &headers, client };
        request.cookies(name).map(|value| String::from_utf8(value.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_cookie_is_found_among_others_whatever_stands_between_them() {
        assert_eq!(cookies(&["a=1; b=2;c=3 ;  d = 4"], "b"), ["2"]);
        assert_eq!(cookies(&["a=1; b=2;c=3 ;  d = 4"], "c"), ["3"]);
        assert_eq!(cookies(&["a=1; b=2;c=3 ;  d = 4"], "d"), ["4"]);
    }

    #[test]
    fn a_value_may_have_an_equals_sign_in_it_or_nothing_at_all() {
        assert_eq!(cookies(&["token=a=b=="], "token"), ["a=b=="]);
        assert_eq!(cookies(&["token="], "token"), [""]);
        assert_eq!(cookies(&["token=\"q\""], "token"), ["\"q\""]);
    }

    #[test]
    fn names_are_told_apart_by_case_and_not_by_how_they_begin() {
        let none: [&str; 0] = [];
        assert_eq!(cookies(&["Session=1; sessions=2; session"], "session"), none);
    }

    #[test]
    fn of_one_name_all_are_seen_in_their_order_also_in_several_fields() {
        assert_eq!(cookies(&["a=1; a=2", "nonsense", "a=3"], "a"), ["1", "2", "3"]);
    }
}
