// Package greeting has the text of the app.
package greeting

import (
	"fmt"
	"runtime"
)

// Text says who answers.
func Text(example, poweredBy string) string {
	return fmt.Sprintf("%s example, powered by %s on %s\n", example, poweredBy, runtime.Version())
}
