// Reads each file named with GitHub's own parser, prints what it refuses and ends with 1 if there was anything.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow } from "@actions/workflow-parser";
import { convertActionTemplate, parseAction } from "@actions/workflow-parser/actions/index";
import { ErrorPolicy } from "@actions/workflow-parser/model/convert";

/** Says what GitHub's parser has against the file, and how often. */
async function refusals(name) {
  const file = { name, content: readFileSync(name, "utf8") };
  const isAction = basename(name) === "action.yml";
  const result = (isAction ? parseAction : parseWorkflow)(file, new NoOperationTraceWriter());
  // The conversion checks what a schema cannot: `needs`, identifiers, expressions in their places.
  if (result.value) {
    if (isAction) convertActionTemplate(result.context, result.value);
    else await convertWorkflowTemplate(result.context, result.value, undefined, { errorPolicy: ErrorPolicy.TryConversion });
  }
  for (const error of result.context.errors.getErrors()) {
    console.error(`${name}: ${error.message}`);
  }
  return result.context.errors.count;
}

Promise.all(process.argv.slice(2).map(refusals)).then((counts) => {
  process.exitCode = counts.some((count) => count > 0) ? 1 : 0;
});
