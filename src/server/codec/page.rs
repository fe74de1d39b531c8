use super::token::{self, token};
use super::{CallError, RequestError, request, task_cache};
use crate::limits::{LISTING_BYTES_MAX, PAGE_BYTES_MAX, PAGE_TASKS_MAX};
use crate::model::{Filter, Revision, Task, TaskId, TaskList};
use crate::wire::{Encoded, proto};

/// A checked request for a page.
#[derive(Debug, PartialEq)]
pub(crate) struct PageQuery {
    filter: Filter,
    /// Tasks at most; `None`: everything.
    tasks_max: Option<usize>,
    /// The revision of the list to show; `None`: the newest.
    at: Option<Revision>,
    from: Option<PageStart>,
}

/// Where a page ended: the content of a token.
#[derive(Debug, Clone, PartialEq)]
struct PageStart {
    list_id: String,
    after: TaskId,
}

impl PageQuery {
    pub(crate) fn new(request: &proto::GetTasksRequest) -> Result<PageQuery, RequestError> {
        let filter = request::filter(request.filter)?;
        let tasks_max = match usize::try_from(request.page_size) {
            // A list of the past is read row by row.
            Ok(0) if request.at_revision.is_some() => Some(PAGE_TASKS_MAX),
            Ok(0) => None,
            Ok(size) => Some(size.min(PAGE_TASKS_MAX)),
            Err(_) => return Err(RequestError::PageSize(request.page_size)),
        };
        let at = request.at_revision.map(|at| request::revision("at_revision", at)).transpose()?;
        let from = match request.page_token.as_str() {
            "" => None,
            token => Some(start(token, &filter, at).ok_or(RequestError::PageToken)?),
        };
        Ok(PageQuery { filter, tasks_max, at, from })
    }

    /// The revision of the list to show, if it is not the newest.
    pub(crate) fn past(&self, list: &TaskList) -> Option<Revision> {
        self.at.filter(|at| *at != list.revision())
    }

    pub(crate) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Whether all tasks are requested in one answer.
    pub(crate) fn is_everything(&self) -> bool {
        self.tasks_max.is_none() && self.from.is_none()
    }

    /// The id after which the page starts. Pages go by ids, which never change and only
    /// grow: a task that exists throughout is on exactly one page, whatever changes in
    /// between.
    pub(crate) fn after(&self, list: &TaskList) -> Result<TaskId, RequestError> {
        match &self.from {
            None => Ok(0),
            Some(start) if *start.list_id == **list.list_id() => Ok(start.after),
            Some(_) => Err(RequestError::PageToken),
        }
    }

    /// An empty page.
    pub(crate) fn page(&self) -> Page<'_> {
        Page { query: self, bytes: Vec::new(), tasks: 0, last: 0 }
    }
}

/// A page in the making. Its tasks come in id order, from [`PageQuery::after`] on.
pub(crate) struct Page<'a> {
    query: &'a PageQuery,
    bytes: Vec<u8>,
    tasks: usize,
    last: TaskId,
}

impl Page<'_> {
    /// Takes the memory for an answer without a page size: at most [`LISTING_BYTES_MAX`], and
    /// only if the system has it.
    pub(crate) fn reserve(&mut self, list: &TaskList, after: TaskId) -> Result<(), CallError> {
        if self.query.tasks_max.is_some() {
            return Ok(());
        }
        let tasks = list.after(after).filter(|task| self.query.filter.matches(task));
        let bytes: usize = tasks.map(|task| task.weight()).sum();
        if bytes > LISTING_BYTES_MAX {
            return Err(CallError::ListingTooLarge);
        }
        self.bytes.try_reserve_exact(bytes).map_err(|_| CallError::ListingsPending)
    }

    /// Adds a task, if the filter matches it. Returns `false` if the page is full.
    pub(crate) fn push_task(&mut self, task: &Task) -> bool {
        !self.query.filter.matches(task) || self.push(task.id, &task_cache::field(task))
    }

    /// Adds a task that is encoded already and that the filter matches.
    pub(super) fn push(&mut self, id: TaskId, field: &[u8]) -> bool {
        let bytes = self.bytes.len() + field.len();
        // A page holds at least one task, whatever its size: the next page starts after it.
        let is_full = |max| self.tasks == max || (bytes > PAGE_BYTES_MAX && self.tasks > 0);
        if self.query.tasks_max.is_some_and(is_full) {
            return false;
        }
        self.bytes.extend_from_slice(field);
        self.tasks += 1;
        self.last = id;
        true
    }

    /// Tasks up to this id were considered: the next page starts after it.
    pub(crate) fn skip_to(&mut self, id: TaskId) {
        self.last = id;
    }

    /// The answer; `more` says whether tasks are left for another page.
    pub(crate) fn end(mut self, list_id: &str, revision: Revision, more: bool) -> Encoded {
        debug_assert!(!more || self.last > 0, "a page moves on");
        let query = || query(&self.query.filter, self.query.at);
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
fn query(filter: &Filter, at: Option<Revision>) -> String {
    let filter = filter.key();
    match at {
        None => filter.to_owned(),
        Some(at) => format!("{filter}@{at}"),
    }
}

fn start(token: &str, filter: &Filter, at: Option<Revision>) -> Option<PageStart> {
    let (list_id, last) = token::parse(token, &query(filter, at))?;
    Some(PageStart { list_id, after: TaskId::try_from(last).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::TASK_BYTES_MAX;
    use crate::model::{Head, Timestamp, Title};
    use crate::server::codec::TaskEncodingCache;
    use protobuf::Message;

    fn list(list_id: &str, tasks: i32, title: &str) -> TaskList {
        let task = |id: TaskId| {
            std::sync::Arc::new(Task {
                id,
                title: Title::new(title).unwrap(),
                deleted: false,
                revision: id.into(),
                created_at: Timestamp(0),
                updated_at: Timestamp(0),
                completed_at: (id % 2 == 0).then_some(Timestamp(0)),
            })
        };
        let tasks = 1..=tasks;
        let head = Head {
            revision: tasks.end().to_owned().into(),
            last_id: *tasks.end(),
            changed_at: Timestamp(0),
        };
        TaskList::new(list_id.into(), tasks.map(task), head, 1_000_000)
    }

    fn page(
        list: &TaskList,
        filter: proto::Filter,
        page_size: i32,
        page_token: &str,
    ) -> Result<proto::GetTasksResponse, CallError> {
        let query = PageQuery::new(&proto::GetTasksRequest {
            filter: filter.into(),
            page_size,
            page_token: page_token.to_owned(),
            ..Default::default()
        })?;
        let answer = TaskEncodingCache::default().answer(&query, list)?;
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
        assert_eq!(refused, RequestError::PageSize(-1).into());
        let request = proto::GetTasksRequest {
            filter: protobuf::EnumOrUnknown::from_i32(5),
            ..Default::default()
        };
        assert_eq!(PageQuery::new(&request).unwrap_err(), RequestError::Filter(5));
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
            assert_eq!(
                page(list, filter, 2, token),
                Err(RequestError::PageToken.into()),
                "{token}"
            );
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
            "1.l.LIVE.-99999999999.00000000",
            &token("l", "LIVE", -1),
            &token("l", "LIVE", i32::MIN),
            "é",
            &format!("{good}x"),
        ] {
            refused(&list, proto::Filter::LIVE, token);
        }
    }

    #[test]
    fn pages_of_the_largest_tasks_move_on_and_are_complete() {
        // Fields of the maximum size, and one that is larger than a page.
        for bytes in [TASK_BYTES_MAX, PAGE_BYTES_MAX + 1] {
            let request = proto::GetTasksRequest { page_size: 100, ..Default::default() };
            let query = PageQuery::new(&request).unwrap();
            let (mut seen, mut last) = (Vec::new(), 0);
            while last < 25 {
                let mut page = query.page();
                for id in last + 1..=25 {
                    if !page.push(id, &vec![0; bytes]) {
                        break;
                    }
                    seen.push(id);
                }
                assert!(page.last > last, "a page without a task is a loop");
                assert!(page.tasks == 1 || page.bytes.len() <= PAGE_BYTES_MAX);
                last = page.last;
            }
            assert!(seen.iter().copied().eq(1..=25), "{bytes}: {seen:?}");
        }
    }
}
