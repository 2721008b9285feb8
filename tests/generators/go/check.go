// Reads every example with the types that go-jsonschema makes: names and plain texts as promised.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"generators/records/connectivity"
	"generators/records/credential"
	"generators/records/deadletter"
	"generators/records/group"
	"generators/records/groupstate"
	"generators/records/organizationalunit"
	"generators/records/organizationalunitstate"
	"generators/records/unclassified"
	"generators/records/user"
	"generators/records/userstate"
)

func read[T any](entity string) []T {
	var events []T
	files, err := filepath.Glob(filepath.Join(os.Args[1], entity, "*.json"))
	if err != nil || len(files) == 0 {
		panic(entity)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		var event T
		if err := json.Unmarshal(text, &event); err != nil {
			panic(fmt.Sprint(file, ": ", err))
		}
		events = append(events, event)
	}
	return events
}

func main() {
	read[connectivity.ConnectivityEvent]("connectivity")
	read[credential.CredentialEvent]("credential")
	read[deadletter.DeadLetterEvent]("dead-letter")
	read[group.GroupEvent]("group")
	read[organizationalunit.OrganizationalUnitEvent]("organizational-unit")
	read[unclassified.UnclassifiedEvent]("unclassified")
	read[groupstate.GroupState]("group-state")
	read[organizationalunitstate.OrganizationalUnitState]("organizational-unit-state")
	read[userstate.UserState]("user-state")
	for _, event := range read[user.UserEvent]("user") {
		var subject user.User = event.User
		var origin user.Origin = event.Origin
		var texts []string = append([]string{subject.Id, origin.EventId}, event.Cleared...)
		if name := subject.Username; name != nil {
			texts = append(texts, *name)
		}
		if len(texts) < 2 {
			panic("texts")
		}
	}
	fmt.Println("Go: go-jsonschema")
}
