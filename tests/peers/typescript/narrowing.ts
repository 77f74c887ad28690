// What a client of generated types can write, and what it cannot: `tsc --strict` judges both.
import type { components, paths } from "./api";

type Problem = components["schemas"]["Problem"];
type Refusal<Path extends "/start" | "/check"> =
  paths[Path]["post"]["responses"][429]["content"]["application/problem+json"];

/** Every 429 says when to come back. */
export const pause = (refusal: Refusal<"/start"> | Refusal<"/check">): number => refusal.retry_after;

/** `type` says which members there are. */
export function say(problem: Problem): string {
  if (problem.type === "/problems/rate-limited") {
    const wait: number = problem.retry_after;
    const status: 429 = problem.status;
    return `${status}: ${problem.limit}, ${wait} s`;
  }
  switch (problem.type) {
    case "/problems/blocked":
      return problem.rule;
    case "/problems/invalid-number":
      return problem.reason satisfies "not-a-number" | "impossible" | "line-type";
    case "/problems/invalid-request":
      return problem.errors.map((error) => `${error.field}: ${error.message}`).join();
    default:
      return problem.detail;
  }
}

export function mistakes(problem: Problem): unknown {
  if (problem.type === "/problems/forbidden") {
    // @ts-expect-error: no time makes it right
    return problem.retry_after;
  }
  // @ts-expect-error: no kind of problem has this name
  if (problem.type === "/problems/rate-limit") return null;
  // @ts-expect-error: only some kinds have it
  return problem.retry_after;
}
