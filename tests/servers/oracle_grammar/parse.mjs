// Reads a JSON list of scripts; writes a JSON list with the syntax errors of each, as "line:column message".
import { readFileSync } from "node:fs";
import { CharStream, CommonTokenStream, ErrorListener } from "antlr4";
import PlSqlLexer from "@griffithswaite/ts-plsql-parser/antlr/PlSqlLexer.js";
import PlSqlParser from "@griffithswaite/ts-plsql-parser/antlr/PlSqlParser.js";

class Errors extends ErrorListener {
  found = [];
  syntaxError(recognizer, symbol, line, column, message) {
    this.found.push(`${line}:${column} ${message}`);
  }
}

function parse(script) {
  const errors = new Errors();
  const lexer = new PlSqlLexer(new CharStream(script));
  const parser = new PlSqlParser(new CommonTokenStream(lexer));
  for (const reader of [lexer, parser]) {
    reader.removeErrorListeners();
    reader.addErrorListener(errors);
  }
  parser.sql_script();
  return errors.found;
}

process.stdout.write(JSON.stringify(JSON.parse(readFileSync(0, "utf8")).map(parse)));
