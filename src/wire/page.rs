use super::token::{self, token};
use super::{Encoded, convert, encodings, proto};
use crate::limits::{LISTING_BYTES_MAX, PAGE_BYTES_MAX, PAGE_TASKS_MAX};
use crate::model::{Filter, Rejection, Revision, Task, TaskId, TaskList};

/// A checked request for a page.
#[derive(Debug, PartialEq)]
pub struct PageQuery {
    filter: Filter,
    /// Tasks at most; `None`: everything.
    tasks_max: Option<usize>,
    /// The list as it was then.
    at: Option<Revision>,
    from: Option<Place>,
}

/// Where a page ended: what a token holds.
#[derive(Debug, Clone, PartialEq)]
struct Place {
    list_id: String,
    after: TaskId,
}

impl PageQuery {
    pub fn new(request: &proto::GetTasksRequest) -> Result<PageQuery, Rejection> {
        let filter = convert::filter(request.filter)?;
        let tasks_max = match usize::try_from(request.page_size) {
            // A list of the past is read row by row.
            Ok(0) if request.at_revision.is_some() => Some(PAGE_TASKS_MAX),
            Ok(0) => None,
            Ok(size) => Some(size.min(PAGE_TASKS_MAX)),
            Err(_) => return Err(Rejection::PageSize(request.page_size)),
        };
        let at = request.at_revision.map(|at| convert::revision("at_revision", at)).transpose()?;
        let from = match request.page_token.as_str() {
            "" => None,
            token => Some(place(token, filter, at).ok_or(Rejection::PageToken)?),
        };
        Ok(PageQuery { filter, tasks_max, at, from })
    }

    /// The revision whose list is asked for, if it is not the newest.
    pub fn past(&self, list: &TaskList) -> Option<Revision> {
        self.at.filter(|at| *at != list.revision())
    }

    pub fn filter(&self) -> Filter {
        self.filter
    }

    /// Whether it asks for all tasks in one answer.
    pub fn is_everything(&self) -> bool {
        self.tasks_max.is_none() && self.from.is_none()
    }

    /// The id that the page begins after. Pages go by ids, which never change and only
    /// grow, so a task that is there throughout is on one page, whatever changes in
    /// between.
    pub fn after(&self, list: &TaskList) -> Result<TaskId, Rejection> {
        match &self.from {
            None => Ok(0),
            Some(place) if *place.list_id == **list.list_id() => Ok(place.after),
            Some(_) => Err(Rejection::PageToken),
        }
    }

    /// An empty page.
    pub fn page(&self) -> Page<'_> {
        Page { query: self, bytes: Vec::new(), tasks: 0, last: 0 }
    }
}

/// A page in the making. Its tasks come in id order, from [`PageQuery::after`] on.
pub struct Page<'a> {
    query: &'a PageQuery,
    bytes: Vec<u8>,
    tasks: usize,
    last: TaskId,
}

impl Page<'_> {
    /// Adds a task, if the filter shows it. Returns `false` if the page was full.
    pub fn push_task(&mut self, task: &Task) -> Result<bool, Rejection> {
        if !self.query.filter.shows(task) {
            return Ok(true);
        }
        self.push(task.id, &encodings::field(task))
    }

    /// Adds a task that is encoded already, and that the filter shows.
    pub(super) fn push(&mut self, id: TaskId, field: &[u8]) -> Result<bool, Rejection> {
        let bytes = self.bytes.len() + field.len();
        let is_full = |max| self.tasks == max || bytes > PAGE_BYTES_MAX;
        if self.query.tasks_max.is_some_and(is_full) {
            return Ok(false);
        }
        if bytes > LISTING_BYTES_MAX {
            return Err(Rejection::ListingTooLarge);
        }
        self.bytes.extend_from_slice(field);
        self.tasks += 1;
        self.last = id;
        Ok(true)
    }

    /// What was looked at up to this id will not be looked at again.
    pub fn skip_to(&mut self, id: TaskId) {
        self.last = id;
    }

    /// The answer; `more` says whether tasks are left for another page.
    pub fn end(mut self, list_id: &str, revision: Revision, more: bool) -> Encoded {
        let query = || query(self.query.filter, self.query.at);
        let rest = proto::GetTasksResponse {
            next_page_token: if more { token(list_id, &query(), self.last) } else { String::new() },
            revision,
            list_id: list_id.to_owned(),
            ..Default::default()
        };
        // A message's fields may come in any order, and in pieces.
        self.bytes.extend_from_slice(Encoded::new(&rest).as_bytes());
        Encoded::from_bytes(self.bytes)
    }
}

/// What all pages of a listing have in common.
fn query(filter: Filter, at: Option<Revision>) -> String {
    match at {
        None => format!("{filter:?}"),
        Some(at) => format!("{filter:?}@{at}"),
    }
}

fn place(token: &str, filter: Filter, at: Option<Revision>) -> Option<Place> {
    let (list_id, last) = token::place(token, &query(filter, at))?;
    Some(Place { list_id, after: TaskId::try_from(last).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Timestamp, Title};
    use crate::rpc::Encodings;
    use protobuf::Message;

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
        let query = PageQuery::new(&proto::GetTasksRequest {
            filter: filter.into(),
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        })?;
        let answer = Encodings::default().answer(&query, list)?;
        Ok(proto::GetTasksResponse::parse_from_bytes(answer.as_bytes()).unwrap())
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
    fn the_list_at_a_revision_comes_in_pages_whichever_revision_that_is() {
        let list = list("l", 2, "a");
        for (at, is_everything) in [(None, true), (Some(1), false), (Some(list.revision()), false)]
        {
            let request = proto::GetTasksRequest { at_revision: at, ..Default::default() };
            let query = PageQuery::new(&request).unwrap();
            assert_eq!(query.is_everything(), is_everything, "at {at:?}");
        }
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
        for token in [
            ".",
            "....",
            "1.l.Live.-99999999999.00000000",
            &token("l", "Live", -1),
            &token("l", "Live", i32::MIN),
            "é",
            &format!("{good}x"),
        ] {
            refused(&list, proto::Filter::LIVE, token);
        }
    }
}
