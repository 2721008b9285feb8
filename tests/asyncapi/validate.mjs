// Validates the AsyncAPI document with its official parser, and every example against its JSON Schema.
//
// Usage: node validate.mjs REPOSITORY. Exit code 1 where anything is wrong; a warning counts as wrong.
// Must never reach the network: every reference is a file of the repository.

import { readFileSync, readdirSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";

import { fromFile, Parser } from "@asyncapi/parser";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const SEVERITIES = ["error", "warning", "information", "hint"];

const root = resolve(process.argv[2] ?? ".");
const directory = join(root, "asyncapi");
const schemas = join(root, "schemas");
const faults = [];
const json = (path) => JSON.parse(readFileSync(path, "utf8"));

async function readDocument() {
  const { document, diagnostics } = await fromFile(new Parser(), join(directory, "asyncapi.yaml")).parse();
  for (const { severity, code, message, path, range } of diagnostics) {
    const line = `asyncapi.yaml:${range.start.line + 1}: ${SEVERITIES[severity]} ${code}: ${message} (${path.join(".")})`;
    if (severity <= 1) faults.push(line);
    else if (code !== "asyncapi-latest-version") console.log(line);
  }
  return document;
}

// Ajv as it comes refuses unknown keywords and formats: no consumer should have to loosen it. Only its advice
// against a union of types is not taken: "text or null" is one.
function compileSchemas() {
  const ajv = new Ajv2020({ allErrors: true, strictTypes: false });
  addFormats(ajv);
  const files = readdirSync(schemas);
  return new Map(files.map((name) => [basename(name, ".schema.json"), ajv.compile(json(join(schemas, name)))]));
}

function checkExampleFiles(validators) {
  let count = 0;
  for (const [entity, validate] of validators) {
    const folder = join(directory, "examples", entity);
    for (const name of readdirSync(folder)) {
      count += 1;
      if (validate(json(join(folder, name)))) continue;
      for (const { instancePath, message } of validate.errors) {
        faults.push(`examples/${entity}/${name}: ${instancePath} ${message}`);
      }
    }
  }
  return count;
}

function checkDocument(document, validators) {
  const channels = document.channels().all();
  for (const channel of channels) {
    for (const message of channel.messages().all()) {
      const entity = message.payload()?.id()?.split(":").at(-2);
      const validate = validators.get(entity);
      if (!validate || channel.address() !== `idaas.${entity.replace(/-state$/, ".state")}.v1`) {
        faults.push(`channel ${channel.id()}: its payload is not the schema of ${channel.address()}`);
        continue;
      }
      const files = readdirSync(join(directory, "examples", entity)).map((name) => basename(name, ".json"));
      const names = message.examples().all().map((example) => example.name());
      if (files.sort().join() !== names.sort().join()) {
        faults.push(`message ${message.id()}: its examples are not the files of examples/${entity}`);
      }
      for (const example of message.examples().all()) checkExample(entity, message, example, validate);
    }
  }
  if (channels.length !== validators.size) faults.push("channels and schemas are not one to one");
  if (document.operations().all().length !== channels.length) faults.push("channels and operations are not one to one");
}

function checkExample(entity, message, example, validate) {
  const ajv = new Ajv2020({ allErrors: true, strict: false });
  addFormats(ajv);
  const validHeaders = ajv.compile(message.headers().json());
  const payload = example.payload();
  const headers = example.headers();
  const place = `message ${message.id()}, example ${example.name()}`;
  if (!validate(payload)) faults.push(`${place}: payload: ${ajv.errorsText(validate.errors)}`);
  if (!validHeaders(headers)) faults.push(`${place}: headers: ${ajv.errorsText(validHeaders.errors)}`);
  const kind = payload.state ? entity.replace(/-state$/, ".state") : `${entity}.${payload.action}`;
  if (headers.ce_type !== `com.alibabacloud.idaas.${kind}.v1`) faults.push(`${place}: ce_type`);
  const eventId = payload.state?.lastEventId ?? payload.origin?.eventId;
  const id = entity === "credential" ? `${eventId}:credential` : eventId;
  if (eventId && headers.ce_id !== id) faults.push(`${place}: ce_id`);
  const file = json(join(directory, "examples", entity, `${example.name()}.json`));
  if (!isDeepStrictEqual(payload, file)) faults.push(`${place}: the payload is not the one of its file`);
}

const document = await readDocument();
const validators = compileSchemas();
const examples = checkExampleFiles(validators);
if (document) checkDocument(document, validators);
for (const fault of faults) console.error(fault);
if (!document || faults.length > 0) process.exit(1);
console.log(`AsyncAPI document valid; ${validators.size} schemas, ${examples} examples`);
