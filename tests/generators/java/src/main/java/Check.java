import java.util.List;
import records.connectivity.ConnectivityEvent;
import records.credential.CredentialEvent;
import records.deadletter.DeadLetterEvent;
import records.group.GroupEvent;
import records.organizationalunit.Member;
import records.organizationalunit.OrganizationalUnitEvent;
import records.unclassified.UnclassifiedEvent;
import records.user.Origin;
import records.user.User;
import records.user.UserEvent;

/** Compiled and not run: names and plain texts as promised. */
class Check {
    List<Class<?>> roots = List.of(
        ConnectivityEvent.class, CredentialEvent.class, DeadLetterEvent.class, GroupEvent.class, UnclassifiedEvent.class);

    static List<String> texts(UserEvent event) {
        User user = event.getUser();
        Origin origin = event.getOrigin();
        List<String> cleared = event.getCleared();
        return List.of(user.getId(), user.getUsername(), origin.getEventId(), cleared.toString());
    }

    static List<Member> members(OrganizationalUnitEvent event) {
        return event.getOrganizationalUnit().getAddedMembers();
    }

    static Object original(DeadLetterEvent event) {
        return event.getOriginal();
    }
}
