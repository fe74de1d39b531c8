//! Page tokens.

use std::fmt::Display;

const VERSION: &str = "1";

/// `1.LIST_ID.QUERY.LAST.CHECKSUM`: where a page of a query ended. `query` has no dots.
pub(super) fn token(list_id: &str, query: &str, last: impl Display) -> String {
    let body = format!("{VERSION}.{list_id}.{query}.{last}");
    format!("{body}.{:08x}", crc32c::crc32c(body.as_bytes()))
}

/// Where a page ended: its list, and its last item, not negative. `None` for a token
/// that was changed, or made for another query. The checksum is not a secret: a client that
/// makes a valid token gets the page after some item.
pub(super) fn parse(text: &str, query: &str) -> Option<(String, i64)> {
    let (body, _checksum) = text.rsplit_once('.')?;
    let mut parts = body.splitn(4, '.').skip(1);
    let list_id = parts.next()?.to_owned();
    let last = parts.nth(1)?.parse().ok().filter(|last| *last >= 0)?;
    // Made again from its parts, it must be the same to the letter.
    (token(&list_id, query, last) == text).then_some((list_id, last))
}
