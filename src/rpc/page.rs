use protobuf::Message;

use super::{convert, proto};
use crate::limits::{LISTING_BYTES_MAX, PAGE_BYTES_MAX, PAGE_TASKS_MAX};
use crate::model::{Filter, Rejection, TaskId, TaskList};

const TOKEN_VERSION: &str = "1";
/// Bytes that a repeated message field adds to each task: the tag, and the length
/// of a task below 2 MiB.
const FIELD_BYTES: usize = 4;

/// A checked request for a page.
#[derive(Debug, PartialEq)]
pub struct PageQuery {
    filter: Filter,
    /// Tasks at most; `None`: everything.
    tasks_max: Option<usize>,
    from: Option<Place>,
}

/// Where a page ended: what a token holds.
#[derive(Debug, PartialEq)]
struct Place {
    list_id: String,
    after: TaskId,
}

impl PageQuery {
    pub fn new(request: &proto::GetTasksRequest) -> Result<PageQuery, Rejection> {
        let filter = convert::filter(request.filter)?;
        let tasks_max = match usize::try_from(request.page_size) {
            Ok(0) => None,
            Ok(size) => Some(size.min(PAGE_TASKS_MAX)),
            Err(_) => return Err(Rejection::PageSize(request.page_size)),
        };
        let from = match request.page_token.as_str() {
            "" => None,
            token => Some(place(token, filter).ok_or(Rejection::PageToken)?),
        };
        Ok(PageQuery { filter, tasks_max, from })
    }

    /// The page of this list. It goes by ids, which never change and only grow, so a
    /// task that is there throughout is on one page, whatever changes in between.
    pub fn answer(&self, list: &TaskList) -> Result<proto::GetTasksResponse, Rejection> {
        let after = match &self.from {
            None => 0,
            Some(place) if *place.list_id == **list.list_id() => place.after,
            Some(_) => return Err(Rejection::PageToken),
        };
        let mut response = proto::GetTasksResponse {
            revision: list.revision(),
            list_id: list.list_id().to_string(),
            ..Default::default()
        };
        let mut bytes = 0;
        for task in list.after(after).filter(|task| self.filter.shows(task)) {
            let task = convert::task(task);
            bytes += task.compute_size() as usize + FIELD_BYTES;
            let full = |max| response.tasks.len() == max || bytes > PAGE_BYTES_MAX;
            if self.tasks_max.is_some_and(full) {
                let last = response.tasks.last().map_or(after, |task| task.id);
                response.next_page_token = token(list.list_id(), self.filter, last);
                break;
            }
            if bytes > LISTING_BYTES_MAX {
                return Err(Rejection::ListingTooLarge);
            }
            response.tasks.push(task);
        }
        Ok(response)
    }
}

/// `1.LIST_ID.FILTER.LAST_ID.CHECKSUM`
fn token(list_id: &str, filter: Filter, last: TaskId) -> String {
    let body = format!("{TOKEN_VERSION}.{list_id}.{filter:?}.{last}");
    format!("{body}.{:08x}", crc32fast::hash(body.as_bytes()))
}

/// `None` for a token that was mangled, or made for another filter.
fn place(text: &str, filter: Filter) -> Option<Place> {
    let (body, _checksum) = text.rsplit_once('.')?;
    let mut parts = body.splitn(4, '.').skip(1);
    let list_id = parts.next()?.to_owned();
    let after = parts.nth(1)?.parse().ok()?;
    // Made again from its parts, it must be the same to the letter.
    (token(&list_id, filter, after) == text).then_some(Place { list_id, after })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Task, Timestamp, Title};

    fn list(list_id: &str, tasks: i32, title: &str) -> TaskList {
        let tasks = (1..=tasks).map(|id| {
            std::sync::Arc::new(Task {
                id,
                title: Title::new(title).unwrap(),
                deleted: false,
                revision: id.into(),
                created_at: Timestamp(0),
                updated_at: Timestamp(0),
                completed_at: (id % 2 == 0).then_some(Timestamp(0)),
            })
        });
        TaskList::new(list_id.into(), tasks, 1_000_000)
    }

    fn page(
        list: &TaskList,
        filter: proto::Filter,
        page_size: i32,
        page_token: &str,
    ) -> Result<proto::GetTasksResponse, Rejection> {
        PageQuery::new(&proto::GetTasksRequest {
            filter: filter.into(),
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        })?
        .answer(list)
    }

    /// The ids of each page, `1 2 | 3`.
    fn pages(list: &TaskList, filter: proto::Filter, page_size: i32) -> String {
        let mut pages = Vec::new();
        let mut token = String::new();
        loop {
            let page = page(list, filter, page_size, &token).unwrap();
            let ids: Vec<_> = page.tasks.iter().map(|task| task.id.to_string()).collect();
            pages.push(ids.join(" "));
            token = page.next_page_token;
            if token.is_empty() {
                return pages.join(" | ");
            }
        }
    }

    #[test]
    fn pages_go_by_id_and_the_last_has_no_token() {
        let list = list("l", 5, "a");
        for (filter, page_size, ids) in [
            (proto::Filter::LIVE, 0, "1 2 3 4 5"),
            (proto::Filter::LIVE, 2, "1 2 | 3 4 | 5"),
            (proto::Filter::LIVE, 5, "1 2 3 4 5"),
            (proto::Filter::LIVE, i32::MAX, "1 2 3 4 5"),
            (proto::Filter::OPEN, 2, "1 3 | 5"),
            (proto::Filter::COMPLETED, 2, "2 4"),
            (proto::Filter::DELETED, 2, ""),
            (proto::Filter::ANY, 3, "1 2 3 | 4 5"),
        ] {
            assert_eq!(pages(&list, filter, page_size), ids, "{filter:?} by {page_size}");
        }
    }

    #[test]
    fn a_page_ends_at_its_limits_and_everything_does_not() {
        let list = list("l", PAGE_TASKS_MAX as i32 + 1, &"é".repeat(1024));
        let everything = page(&list, proto::Filter::LIVE, 0, "").unwrap();
        assert_eq!(everything.tasks.len(), PAGE_TASKS_MAX + 1);
        let by_bytes = page(&list, proto::Filter::LIVE, i32::MAX, "").unwrap();
        let bytes = by_bytes.compute_size() as usize;
        assert!((PAGE_BYTES_MAX - 4096..PAGE_BYTES_MAX + 256).contains(&bytes), "{bytes}");

        let list = self::list("l", PAGE_TASKS_MAX as i32 + 1, "a");
        let by_tasks = page(&list, proto::Filter::LIVE, i32::MAX, "").unwrap();
        assert_eq!(by_tasks.tasks.len(), PAGE_TASKS_MAX);
    }

    #[test]
    fn a_negative_page_size_and_an_unknown_filter_are_refused() {
        let list = list("l", 1, "a");
        let refused = page(&list, proto::Filter::LIVE, -1, "").unwrap_err();
        assert_eq!(refused, Rejection::PageSize(-1));
        let request = proto::GetTasksRequest {
            filter: protobuf::EnumOrUnknown::from_i32(5),
            ..Default::default()
        };
        assert_eq!(PageQuery::new(&request).unwrap_err(), Rejection::Filter(5));
    }

    #[test]
    fn a_mangled_or_foreign_token_is_refused() {
        let list = list("l", 5, "a");
        let good = page(&list, proto::Filter::LIVE, 2, "").unwrap().next_page_token;
        assert!(page(&list, proto::Filter::LIVE, 2, &good).is_ok());
        let refused = |list: &TaskList, filter, token: &str| {
            assert_eq!(page(list, filter, 2, token), Err(Rejection::PageToken), "{token}");
        };
        refused(&list, proto::Filter::OPEN, &good);
        refused(&self::list("other", 5, "a"), proto::Filter::LIVE, &good);
        for at in 0..good.len() {
            let mut mangled = good.clone().into_bytes();
            mangled[at] ^= 1;
            refused(&list, proto::Filter::LIVE, &String::from_utf8(mangled).unwrap());
            refused(&list, proto::Filter::LIVE, &good[..at.max(1)]);
        }
        for token in [".", "....", "1.l.Live.-99999999999.00000000", "é", &format!("{good}x")] {
            refused(&list, proto::Filter::LIVE, token);
        }
    }
}
