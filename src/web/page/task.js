// A task as the page keeps it, and what can be said of one alone.

// The wire leaves out default values and carries revisions as strings. A Number counts
// exactly up to 9e15: a million changes a second take 285 years to get there.
export function taskFromWire(json) {
  return {
    id: json.id,
    title: json.title ?? '',
    completed: json.completed === true,
    deleted: json.deleted === true,
    revision: Number(json.revision ?? 0),
    updatedAt: json.updatedAt,
  };
}

const TITLE_CHARS_MAX = 1024;
// What the server refuses, told before a call is made: control characters (Cc) and the
// characters that override the direction of text. The server decides.
const FORBIDDEN = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;

// The message that says what is wrong with a title, or undefined.
export function titleFault(title) {
  if ([...title].length > TITLE_CHARS_MAX) return 'refused.long';
  if (FORBIDDEN.test(title)) return 'refused.characters';
  return undefined;
}

const EXCERPT_CHARS_MAX = 60;

// A title short enough to stand within a sentence, whose direction it does not touch.
export function excerpt(title) {
  const chars = [...title];
  const short = chars.length > EXCERPT_CHARS_MAX
    ? `${chars.slice(0, EXCERPT_CHARS_MAX - 1).join('')}…`
    : title;
  return `\u2068${short}\u2069`;
}
