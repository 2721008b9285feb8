"""Reads a simulated directory with the vendor's SDK: token, users, one user, units, groups and their members."""

import json
import sys

from alibabacloud_eiam_developerapi20220225 import models
from alibabacloud_eiam_developerapi20220225.client import Client
from alibabacloud_tea_openapi.utils_models import Config
from darabonba.runtime import RuntimeOptions

simulated = json.loads(sys.argv[1])
with open(simulated["clientSecretFile"], encoding="utf-8") as file:
    secret = file.read().strip()
ids = (simulated["instanceId"], simulated["applicationId"])
host = simulated["endpoint"].removeprefix("http://")
client = Client(Config(endpoint=host, protocol="HTTP"))
runtime = RuntimeOptions()

request = models.GenerateTokenRequest(
    client_id=simulated["clientId"], client_secret=secret, grant_type="client_credentials"
)
token = client.generate_token(*ids, request).body
assert token.token_type == "Bearer" and token.expires_in == 1200, token
authorization = f"Bearer {token.access_token}"

scope = client.get_application_provisioning_scope_with_options(
    *ids, models.GetApplicationProvisioningScopeRequest(), models.GetApplicationProvisioningScopeHeaders(authorization=authorization), runtime
).body
assert scope.organizational_unit_ids == ["ou_root"], scope

units, waiting = {}, ["ou_root"]
while waiting:
    parent, page = waiting.pop(), 1
    while True:
        body = client.list_organizational_units_with_options(
            *ids,
            models.ListOrganizationalUnitsRequest(parent_id=parent, page_number=page, page_size=100),
            models.ListOrganizationalUnitsHeaders(authorization=authorization),
            runtime,
        ).body
        for unit in body.data:
            assert unit.parent_id == parent and isinstance(unit.create_time, int), unit
            units[unit.organizational_unit_id] = unit
            waiting.append(unit.organizational_unit_id)
        if not body.data:
            break
        page += 1

users = {}
for unit in ["ou_root", *units]:
    page = 1
    while True:
        body = client.list_users_with_options(
            *ids,
            models.ListUsersRequest(organizational_unit_id=unit, page_number=page, page_size=100),
            models.ListUsersHeaders(authorization=authorization),
            runtime,
        ).body
        users.update((user.user_id, user) for user in body.data)
        if not body.data:
            break
        page += 1
assert len(users) == simulated["users"], len(users)

one = next(iter(users.values()))
user = client.get_user_with_options(
    *ids, one.user_id, models.GetUserRequest(), models.GetUserHeaders(authorization=authorization), runtime
).body
assert user.username == one.username and user.status in ("enabled", "disabled"), user
assert user.organizational_units[0].organizational_unit_id == user.primary_organizational_unit_id, user
assert user.custom_fields[0].field_name == "cost_center", user
assert user.lock_expire_time == -1 and isinstance(user.phone_number_verified, (bool, type(None))), user

groups, next_token = {}, None
while True:
    body = client.list_groups_with_options(
        *ids,
        models.ListGroupsRequest(max_results=2, next_token=next_token),
        models.ListGroupsHeaders(authorization=authorization),
        runtime,
    ).body
    groups.update((group.group_id, group) for group in body.data)
    next_token = body.next_token
    if not next_token:
        break
assert sorted(groups) == sorted(scope.group_ids), groups

members = 0
for group in groups:
    next_token = None
    while True:
        body = client.list_users_for_group_with_options(
            *ids,
            group,
            models.ListUsersForGroupRequest(max_results=100, next_token=next_token),
            models.ListUsersForGroupHeaders(authorization=authorization),
            runtime,
        ).body
        for member in body.data:
            assert member.user_id in users, member
            members += 1
        next_token = body.next_token
        if not next_token:
            break
assert members > 0

try:
    client.get_user_with_options(
        *ids, "user_none", models.GetUserRequest(), models.GetUserHeaders(authorization=authorization), runtime
    )
    raise AssertionError("a user that does not exist was found")
except Exception as error:  # The SDK has several bases of exceptions.
    assert getattr(error, "code", "") == "ResourceNotFound.User", error

print(f"{len(units)} units, {len(users)} users, {len(groups)} groups, {members} members")
