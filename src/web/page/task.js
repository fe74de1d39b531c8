// A task in the page, and what depends on one task alone.

// proto3 JSON omits default values and writes int64 as a string. A Number is exact up to 9e15:
// a million changes per second take 285 years to reach it.
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
// Control characters (Cc) and characters that override the direction of text. The page checks
// only to answer without a call: the server decides.
const FORBIDDEN = /[\p{Cc}\u202a-\u202e\u2066-\u2069]/u;

// Returns the key of the message that says what is wrong with a title, or undefined.
export function titleFault(title) {
  if ([...title].length > TITLE_CHARS_MAX) return 'refused.long';
  if (FORBIDDEN.test(title)) return 'refused.characters';
  return undefined;
}

const EXCERPT_CHARS_MAX = 60;

// Returns a title short enough for a sentence, isolated so that it does not change the text
// direction of the sentence.
export function excerpt(title) {
  const chars = [...title];
  const short = chars.length > EXCERPT_CHARS_MAX
    ? `${chars.slice(0, EXCERPT_CHARS_MAX - 1).join('')}…`
    : title;
  return `\u2068${short}\u2069`;
}
