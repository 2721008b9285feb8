// Compiled and not run: names and plain texts as promised, and examples that fit.
import type { DeadLetterEvent } from "./dead-letter.js";
import type { OrganizationalUnitEvent } from "./organizational-unit.js";
import type { Origin, User, UserEvent } from "./user.js";
import created from "./examples/user/created.json" with { type: "json" };
import updated from "./examples/user/updated.json" with { type: "json" };
import added from "./examples/organizational-unit/member_added.json" with { type: "json" };
import sealed from "./examples/dead-letter/malformed_event.json" with { type: "json" };

const events: UserEvent[] = [created, updated];
const units: OrganizationalUnitEvent[] = [added];
const letters: DeadLetterEvent[] = [sealed];
for (const event of events) {
  const user: User = event.user;
  const origin: Origin = event.origin;
  const texts: [string, string | null | undefined, string, string[] | undefined] =
    [user.id, user.username, origin.eventId, event.cleared];
  const never: string | null | undefined = user.accountExpiresAt;
  console.log(texts, never, units, letters);
}
